// The forward and the backward pass of the dense decoder family (Llama, Qwen2, Qwen3):
//
//   x = embed(tokens)
//   each block:  x += attention_out(attention(rope(qkv(rms_norm(x)))))
//                x += down(swiglu(gate_up(rms_norm(x))))
//   hidden = rms_norm(x)[outputs];   logits = head(hidden)   (token_scores.h)
//
// Training, scoring, prefill and decoding are this one function over different batches.
#pragma once

#include "model/batch.h"
#include "model/model.h"

namespace r1 {

// What a block's backward needs of its forward.   T rows, C width, F feed-forward width
struct Saved {
  Tensor x_TC;        // the block's input
  Tensor norm_TC;     // rms_norm(x)
  Tensor qkv_TN;      // products with bias; rotated in place where there are no q and k norms
  Tensor qk_TN;       // normed and rotated q and k; columns of qkv_TN where there are no norms
  Tensor att_TC;      // attention's output, before attention_out
  Tensor mid_TC;      // x + attention_out(att)
  Tensor norm2_TC;    // rms_norm(mid)
  Tensor gate_up_TF;  // [T, 2F]
  Tensor act_TF;      // swiglu(gate_up)
  float *rstd, *rstd2, *q_rstd, *k_rstd, *lse;
};

// The memory of a pass, and how much of it is kept for backward. Reused from pass to pass.
class Activations {
 public:
  enum class Keep {
    kNothing,      // inference
    kAll,          // training
    kBlockInputs,  // training, recomputing each block's forward in backward
  };
  explicit Activations(Keep keep) : keep_(keep) {}

  Keep keep() const { return keep_; }
  size_t high_water_bytes() const { return arena_.high_water(); }

 private:
  friend void forward(const Model&, const Batch&, KvCache&, Ops&, Activations&, Tensor);
  friend void backward(const Model&, const Batch&, KvCache&, Ops&, Activations&, ConstTensor,
                       Gradients&);

  Keep keep_;
  Arena arena_;
  std::vector<Saved> blocks_;
  Tensor last_TC_;  // the last block's output
  float* last_rstd_ = nullptr;
  Tensor final_TC_;  // rms_norm of it, all rows
};

// hidden [outputs, C] gets the final hidden states of batch.outputs. Keys and values go to kv.
// The batch's tokens and positions must be inside the vocabulary and max_positions().
void forward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
             Tensor hidden);

// Adds the gradients of all parameters but the head's product. kv holds what forward wrote;
// dhidden [outputs, C] is the gradient of forward's result. Pages of the batch must be numbered
// from 0, as the trainer's are.
void backward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
              ConstTensor dhidden, Gradients& gradients);

}  // namespace r1
