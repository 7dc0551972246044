// Scores of packed sequences' tokens under a model that stays as it is: a KL term's reference, a
// teacher. No gradients, no moments; the model may be of any use.
#pragma once

#include <vector>

#include "model/decoder.h"
#include "model/sampling.h"
#include "train/sequence_batch.h"

namespace r1 {

// In the order of SequenceBatch::targets().
struct TokenScores {
  std::vector<float> logprob, entropy;
};

// Pages and hidden states for a pass over a batch, as large as the largest so far.
class BatchMemory {
 public:
  // [targets, C], unwritten. What earlier calls returned is void.
  Tensor hidden_for(const SequenceBatch& batch, const Model& model, Ops& ops);
  KvCache& kv() { return kv_; }
  size_t kv_bytes() const { return kv_.bytes(); }
  size_t hidden_bytes() const { return hidden_.bytes(); }

 private:
  KvCache kv_;
  Buffer hidden_;
};

class SequenceScorer {
 public:
  // Both must outlive it.
  SequenceScorer(const Model& model, Ops& ops)
      : model_(model), ops_(ops), activations_(Activations::Keep::kNothing, ops.memory()) {}

  // Scores of the batch's targets under the distribution that `sampling` makes of the logits.
  TokenScores score(const SequenceBatch& batch, const SamplingParams& sampling);

  // Of all passes so far.
  double flops() const { return flops_; }

 private:
  const Model& model_;
  Ops& ops_;
  Activations activations_;
  BatchMemory memory_;
  double flops_ = 0;
};

}  // namespace r1
