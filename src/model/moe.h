// A mixture of experts (Shazeer et al., 2017), as DeepSeek-V2 and -V3 and Qwen3 have it:
//
//   experts, weights = route(router(x))                      Routing in ops.h
//   out = shared(x) + sum_j weight_j expert_j(x)             ascending expert index
//
// Rows are routed one by one. A row is copied once for each of its experts; copies stand sorted by
// expert, and within one in the batch's order, so that an expert's rows are one product and its
// weights' gradient is summed in the batch's order. All experts' products are one op, packed or as
// the files hold them. Which expert a row went to is known to the backend alone.
#pragma once

#include "model/pass.h"
#include "model/swiglu.h"

namespace r1 {

// What backward needs of the forward pass.   T rows, E experts, K of a row, R = T K copies
struct Moe::Saved {
  Tensor logits_TE;           // the router's
  std::span<int32_t> expert;  // [T, K], and where its copies are: Ops::sort_by_expert
  std::span<int32_t> slot, row;
  int32_t* first = nullptr;
  float* weight = nullptr;    // [T, K]
  Tensor x_RC;                // the copies
  Tensor gate_up_RF, act_RF;  // as in Swiglu
  Tensor y_RC;                // the experts' outputs
  Swiglu::Saved shared;
};

Moe::Saved forward(Pass& p, int64_t layer, const Moe& w, ConstTensor x_TC, Tensor out_TC);

// Writes dx, adds the weights' gradients, and to the pass's loads the rows that each expert got.
// The correction bias has no gradient.
void backward(Pass& p, int64_t layer, const Moe& w, ConstTensor x_TC, const Moe::Saved& s,
              ConstTensor dout_TC, Gradients& g, Tensor dx_TC);

}  // namespace r1
