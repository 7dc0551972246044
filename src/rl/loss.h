// Policy losses as pure functions: from log-probabilities, advantages and masks to the loss and its
// derivative with respect to each log-probability. Generic code (rl/grpo.cc, train/trainer.cc)
// carries the derivative into logits and weights, so a loss is one small file and one row of a
// table.
//
// Formulas and normalizers are those of TRL's GRPOTrainer (`loss_type`), but for cispo, which clamps
// the ratio at 1 + epsilon_high as its paper has it (TRL: at epsilon_high), and rloo, whose KL term
// is in the loss (TRL: in the reward). Each file states its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace r1 {

// Completions of one rollout, their tokens concatenated.
struct LossInput {
  std::span<const int64_t> offsets;    // completion i is tokens [offsets[i], offsets[i + 1])
  std::span<const float> logprob;      // of each token under the current policy
  std::span<const float> old_logprob;  // under the policy it was sampled from
  std::span<const float> ref_logprob;  // under the reference; empty where beta is 0
  std::span<const float> mask;         // one a completion: 1, or 0 to leave it out
  std::span<const double> advantage;   // one a completion
  // Completions of the rollout, and their unmasked tokens, those of skipped groups included: the
  // constant normalizers count them.
  int64_t rollout_size = 0;
  int64_t rollout_tokens = 0;
};

struct LossOptions {
  double epsilon = 0.2;
  double epsilon_high = 0.0;
  double beta = 0.0;
  int64_t length_normalizer = 0;

  template <class V>
  void visit(V& v) {
    v("epsilon", epsilon, "clip the probability ratio below 1 - epsilon and above 1 + epsilon",
      at_least(0));
    v("epsilon_high", epsilon_high, "the upper clip, where it differs (DAPO, CISPO); 0: epsilon",
      at_least(0));
    v("beta", beta, "weight of the KL term to the reference", at_least(0));
    v("length_normalizer", length_normalizer, "dr_grpo's constant length; 0: max_completion_length",
      at_least(0));
  }
  double high() const { return epsilon_high > 0 ? epsilon_high : epsilon; }
};

struct LossOutput {
  double loss = 0;
  std::vector<float> dlogprob;  // d loss / d logprob of each token
  double clip_ratio = 0;        // share of tokens whose ratio is clipped
  double kl = 0;                // mean of the k3 estimate, over unmasked tokens
};

using LossFunction = LossOutput (*)(const LossInput&, const LossOptions&);

LossOutput grpo_loss(const LossInput&, const LossOptions&);
LossOutput dr_grpo_loss(const LossInput&, const LossOptions&);
LossOutput dapo_loss(const LossInput&, const LossOptions&);
LossOutput gspo_loss(const LossInput&, const LossOptions&);
LossOutput cispo_loss(const LossInput&, const LossOptions&);
LossOutput rloo_loss(const LossInput&, const LossOptions&);

// The names, in the table's order.
std::vector<std::string> loss_names();
// InputError if there is none of that name.
LossFunction find_loss(std::string_view name);

// --- what the losses are made of ---

// Value and derivative, with respect to the log-probability, of one token's term.
struct TokenTerm {
  double value = 0, derivative = 0;
  bool clipped = false;
};

// -min(r A, clip(r, 1 - low, 1 + high) A),  r = exp(logprob - old)   (PPO, Schulman et al., 2017)
TokenTerm clipped_surrogate(double logprob, double old, double advantage, double low, double high);

// The k3 estimate of KL(policy || reference): exp(ref - logprob) - (ref - logprob) - 1
// (Schulman, "Approximating KL divergence", 2020), times beta.
TokenTerm kl_term(double logprob, double ref, double beta);

// Sums token terms into a LossOutput: `weight(completion)` is what a token of it counts,
// `term(completion, token)` its policy term; the KL term is added to each.
template <class Weight, class Term>
LossOutput sum_terms(const LossInput& in, const LossOptions& options, Weight&& weight,
                     Term&& term) {
  LossOutput out;
  out.dlogprob.assign(in.logprob.size(), 0.0f);
  int64_t counted = 0, clipped = 0;
  for (size_t i = 0; i + 1 < in.offsets.size(); ++i) {
    if (in.mask[i] == 0.0f) continue;
    const double w = weight(i);
    for (int64_t t = in.offsets[i]; t < in.offsets[i + 1]; ++t) {
      const size_t at = static_cast<size_t>(t);
      TokenTerm policy = term(i, at);
      if (options.beta > 0) {
        const TokenTerm kl = kl_term(static_cast<double>(in.logprob[at]),
                                     static_cast<double>(in.ref_logprob[at]), options.beta);
        policy.value += kl.value;
        policy.derivative += kl.derivative;
        out.kl += kl.value / options.beta;
      }
      out.loss += w * policy.value;
      out.dlogprob[at] = static_cast<float>(w * policy.derivative);
      ++counted;
      clipped += policy.clipped ? 1 : 0;
    }
  }
  if (counted > 0) {
    out.clip_ratio = static_cast<double>(clipped) / static_cast<double>(counted);
    out.kl /= static_cast<double>(counted);
  }
  return out;
}

}  // namespace r1
