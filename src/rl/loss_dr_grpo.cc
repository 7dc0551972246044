// Dr. GRPO (Liu et al., "Understanding R1-Zero-like training", 2025, section 3): GRPO divided by a
// constant instead of each completion's length, which would favour short right and long wrong
// answers:
//   1/(N L) sum_i sum_t -min(r A_i, clip(r) A_i) + beta KL,   L = length_normalizer
#include "rl/loss.h"

namespace r1 {

LossOutput dr_grpo_loss(const LossInput& in, const LossOptions& options) {
  const double w =
      1.0 / (static_cast<double>(in.rollout_size) * static_cast<double>(options.length_normalizer));
  return sum_terms(
      in, options, [&](size_t) { return w; },
      [&](size_t i, size_t t) {
        return clipped_surrogate(static_cast<double>(in.logprob[t]),
                                 static_cast<double>(in.old_logprob[t]), in.advantage[i],
                                 options.epsilon, options.high());
      });
}

}  // namespace r1
