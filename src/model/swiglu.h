// The gated feed-forward part (Shazeer, 2020):  out = down(silu(gate(x)) * up(x))
#pragma once

#include "model/pass.h"

namespace r1 {

// What backward needs of the forward pass.   T rows, F feed-forward width
struct Swiglu::Saved {
  Tensor gate_up_TF;  // [T, 2F]; no data where nothing is kept
  Tensor act_TF;      // silu(gate) * up
};

Swiglu::Saved forward(Pass& p, int64_t layer, const Swiglu& w, ConstTensor x_TC, Tensor out_TC);

// Writes dx, adds the weights' gradients.
void backward(Pass& p, int64_t layer, const Swiglu& w, ConstTensor x_TC, const Swiglu::Saved& s,
              ConstTensor dout_TC, Gradients& g, Tensor dx_TC);

}  // namespace r1
