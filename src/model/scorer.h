// Log-probabilities of given texts: a forward pass over each, in chunks, with nothing kept for
// training.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/sampling.h"

namespace r1 {

class Scorer {
 public:
  // Both must outlive it.
  Scorer(const Model& model, Ops& ops)
      : model_(model), ops_(ops), activations_(Activations::Keep::kNothing, ops.memory()) {}

  // logprob[i] of ids[i + 1] after ids[0..i], for i in [0, ids.size() - 1), under the distribution
  // that `sampling` makes of the logits. ids must be inside the vocabulary and at most
  // max_positions() many. `full` (may be empty) gets, for the same positions in order, rows of the
  // whole vocabulary's log-probabilities.
  std::vector<float> score(std::span<const int32_t> ids, const SamplingParams& sampling = {},
                           const std::function<void(ConstTensor rows_RV)>& full = {});

 private:
  const Model& model_;
  Ops& ops_;
  KvCache kv_;
  Activations activations_;
  Buffer hidden_;
};

}  // namespace r1
