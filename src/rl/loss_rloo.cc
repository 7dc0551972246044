// RLOO (Ahmadian et al., "Back to basics", 2024, section 3): REINFORCE on whole sequences, the
// baseline being the mean reward of the group's other completions (advantages.h, leave_one_out).
// The sequence's ratio, which is 1 on the first update, is clipped as in TRL's RLOOTrainer:
//   1/N sum_i -min(R_i A_i, clip(R_i) A_i) + beta KL,   R_i = exp(sum_t (logprob_t - old_t))
#include <vector>

#include "rl/loss.h"

namespace r1 {

LossOutput rloo_loss(const LossInput& in, const LossOptions& options) {
  std::vector<TokenTerm> terms(in.mask.size());
  for (size_t i = 0; i < terms.size(); ++i) {
    double gap = 0;
    for (int64_t t = in.offsets[i]; t < in.offsets[i + 1]; ++t) {
      const size_t at = static_cast<size_t>(t);
      gap += static_cast<double>(in.logprob[at]) - static_cast<double>(in.old_logprob[at]);
    }
    terms[i] = clipped_surrogate(gap, 0.0, in.advantage[i], options.epsilon, options.high());
  }
  const double n = static_cast<double>(in.rollout_size);
  // The sequence's value is counted at its first token, its derivative at every token.
  return sum_terms(
      in, options, [&](size_t) { return 1.0 / n; },
      [&](size_t i, size_t t) {
        TokenTerm term = terms[i];
        if (static_cast<int64_t>(t) != in.offsets[i]) term.value = 0;
        return term;
      });
}

}  // namespace r1
