// The forward and the backward pass of a decoder:
//
//   x = embed(tokens)
//   each block:  x += attention(rms_norm(x))    Gqa or Mla (attention_gqa.h, attention_mla.h)
//                x += mlp(rms_norm(x))          Swiglu or Moe (swiglu.h, moe.h)
//   hidden = rms_norm(x)[outputs];   logits = head(hidden)   (token_scores.h)
//
// Training, scoring, prefill and decoding are this one function over different batches.
#pragma once

#include <variant>

#include "model/attention_gqa.h"
#include "model/attention_mla.h"
#include "model/batch.h"
#include "model/model.h"
#include "model/moe.h"
#include "model/swiglu.h"

namespace r1 {

// What a block's backward needs of its forward.   T rows, C width
struct Saved {
  Tensor x_TC;      // the block's input
  Tensor norm_TC;   // rms_norm(x)
  Tensor mid_TC;    // x + attention(norm)
  Tensor norm2_TC;  // rms_norm(mid)
  float *rstd = nullptr, *rstd2 = nullptr;
  std::variant<Gqa::Saved, Mla::Saved> attention;
  std::variant<Swiglu::Saved, Moe::Saved> mlp;
};

// The memory of a pass, and how much of it is kept for backward. Reused from pass to pass.
class Activations {
 public:
  enum class Keep {
    kNothing,      // inference
    kAll,          // training
    kBlockInputs,  // training, recomputing each block's forward in backward
  };
  explicit Activations(Keep keep, Allocator& memory = host_memory())
      : keep_(keep), kept_(memory), scratch_(memory), part_(memory) {}

  Keep keep() const { return keep_; }
  size_t high_water_bytes() const {
    return kept_.high_water() + scratch_.high_water() + part_.high_water();
  }
  // Taken from the system.
  size_t bytes() const { return kept_.capacity() + scratch_.capacity() + part_.capacity(); }

 private:
  friend void forward(const Model&, const Batch&, KvCache&, Ops&, Activations&, Tensor);
  friend void backward(const Model&, const Batch&, KvCache&, Ops&, Activations&, ConstTensor,
                       Gradients&, ExpertLoads*);

  Keep keep_;
  DeviceBatch batch_;
  ExpandedPages expanded_;
  Arena kept_;     // until the next pass
  Arena scratch_;  // until the next block
  Arena part_;     // until the next of a block's two parts, attention and mlp
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
// dhidden [outputs, C] is the gradient of forward's result. Batch and memory are those that forward
// had last. Pages of the batch must be numbered from 0, as the trainer's are. `loads` may be null.
void backward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
              ConstTensor dhidden, Gradients& gradients, ExpertLoads* loads = nullptr);

}  // namespace r1
