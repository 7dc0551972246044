// From hidden states to log-probabilities of tokens, and back, a block of rows at a time: the
// logits of a whole batch never exist at once.
#pragma once

#include <functional>
#include <span>

#include "model/model.h"
#include "model/sampling.h"

namespace r1 {

// Rows of logits that exist at once.
constexpr int64_t kLogitRows = 256;

// logits [R, V] of hidden states [R, C].
void compute_logits(const Model& model, ConstTensor hidden, Ops& ops, Tensor logits);

// logprob[r] of targets[r] under the distribution that `params` makes of row r's logits; entropy
// likewise (may be null).
void score_tokens(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                  const SamplingParams& params, Ops& ops, float* logprob, float* entropy);

// Calls f with blocks of rows, in order, of the log-probabilities of the whole vocabulary.
void log_distributions(const Model& model, ConstTensor hidden, const SamplingParams& params,
                       Ops& ops, const std::function<void(ConstTensor rows_RV)>& f);

// The same scores, and given the loss's derivative dlogprob [R] with respect to them: WRITES
// dhidden and adds the head's gradient.
void score_tokens_backward(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                           const SamplingParams& params, const float* dlogprob, Ops& ops,
                           float* logprob, float* entropy, Tensor dhidden, Gradients& gradients);

}  // namespace r1
