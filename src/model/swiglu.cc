#include "model/swiglu.h"

namespace r1 {

Swiglu::Saved forward(Pass& p, int64_t, const Swiglu& w, ConstTensor x, Tensor out) {
  const Swiglu::Saved s = {p.keeps() ? p.keep(w.gate_up.packed.n) : Tensor(),
                           p.keep(w.down.packed.k)};
  w.gate_up.multiply_swiglu(p.ops, x, s.gate_up_TF, s.act_TF);
  p.product(s.act_TF, w.down, out);
  return s;
}

void backward(Pass& p, int64_t, const Swiglu& w, ConstTensor x, const Swiglu::Saved& s,
              ConstTensor dout, Gradients& g, Tensor dx) {
  const Tensor dact = p.temporary(s.act_TF.cols), dgate_up = p.temporary(s.gate_up_TF.cols);
  p.product_backward(dout, s.act_TF, w.down, g, dact);
  p.ops.swiglu_backward(dact, s.gate_up_TF, dgate_up);
  p.product_backward(dgate_up, x, w.gate_up, g, dx);
}

}  // namespace r1
