#include "train/sequence_scorer.h"

#include "model/token_scores.h"

namespace r1 {

Tensor BatchMemory::hidden_for(const SequenceBatch& batch, const Model& model, Ops& ops) {
  const ModelConfig& config = model.config();
  if (kv_.pages() < batch.pages()) {
    kv_ = KvCache();
    kv_ = KvCache(config, config.num_hidden_layers, batch.pages(), ops.memory());
  }
  const int64_t rows = static_cast<int64_t>(batch.targets().size());
  const size_t bytes = static_cast<size_t>(rows * config.hidden_size) * sizeof(float);
  if (hidden_.bytes() < bytes) hidden_ = Buffer(bytes, ops.memory());
  return {hidden_.floats(), rows, config.hidden_size};
}

TokenScores SequenceScorer::score(const SequenceBatch& batch, const SamplingParams& sampling) {
  TokenScores scores;
  scores.logprob.resize(batch.targets().size());
  scores.entropy.resize(batch.targets().size());
  if (batch.rows() == 0) return scores;
  const Tensor hidden = memory_.hidden_for(batch, model_, ops_);
  forward(model_, batch.batch(), memory_.kv(), ops_, activations_, hidden);
  flops_ += forward_flops(model_.config(), batch.batch());
  score_tokens(model_, hidden, batch.targets(), sampling, ops_, scores.logprob.data(),
               scores.entropy.data());
  return scores;
}

}  // namespace r1
