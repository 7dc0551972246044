// Draws tokens from hidden states: logits, the distribution that a request shapes of them, a draw,
// its log-probability. A row's token depends on nothing else in the batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "engine/completion_text.h"
#include "model/model.h"
#include "model/sampling.h"
#include "tensor/buffer.h"

namespace r1 {

// Whose token a row gives.
struct DrawRow {
  const SamplingParams* sampling = nullptr;
  uint64_t seed = 0;               // of the completion
  uint64_t drawn = 0;              // how many tokens it has
  CompletionText* text = nullptr;  // may write another in the place of the drawn one; may be null
};

class Sampler {
 public:
  // model and ops must outlive it.
  Sampler(const Model& model, Ops& ops);

  // For each row of hidden [R, C], whose memory is the ops'.
  void draw(ConstTensor hidden, std::span<const DrawRow> rows);
  // Of the last draw: the ids, as `text` may have replaced them, and their log-probabilities.
  std::span<const int32_t> ids() const { return ids_; }
  std::span<const float> logprobs() const { return logprobs_; }

 private:
  void draw_block(ConstTensor hidden, std::span<const DrawRow> rows, size_t first);

  const Model& model_;
  Ops& ops_;
  Buffer logits_;
  std::vector<int32_t> ids_;
  std::vector<float> logprobs_, uniform_;
};

}  // namespace r1
