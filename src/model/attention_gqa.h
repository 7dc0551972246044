// Grouped-query attention (Ainslie et al., 2023):
//
//   q, k, v = qkv(x);   q, k = rope(rms_norm(q, k))   (the norms are Qwen3's)
//   out = attention_out(attention(q, k, v))
#pragma once

#include "model/pass.h"

namespace r1 {

// What backward needs of the forward pass.   T rows, N = qkv_width()
struct Gqa::Saved {
  Tensor qkv_TN;  // products with bias; rotated in place where there are no q and k norms
  Tensor qk_TN;   // normed and rotated q and k; columns of qkv_TN where there are no norms
  Tensor att_TC;  // attention's output, before attention_out
  float *q_rstd = nullptr, *k_rstd = nullptr, *lse = nullptr;
};

// Keys and values of layer `layer` go to the pass's pages.
Gqa::Saved forward(Pass& p, int64_t layer, const Gqa& w, ConstTensor x_TC, Tensor out_TC);

// Writes dx, adds the weights' gradients.
void backward(Pass& p, int64_t layer, const Gqa& w, ConstTensor x_TC, const Gqa::Saved& s,
              ConstTensor dout_TC, Gradients& g, Tensor dx_TC);

}  // namespace r1
