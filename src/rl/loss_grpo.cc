// GRPO (DeepSeekMath, Shao et al., 2024, equation 3; DeepSeek-R1, equation 1): the clipped
// surrogate, averaged over a completion's tokens, then over completions:
//   1/N sum_i 1/|o_i| sum_t -min(r A_i, clip(r) A_i) + beta KL
// N counts every completion of the rollout (TRL, loss_type "grpo").
#include <algorithm>

#include "rl/loss.h"

namespace r1 {

LossOutput grpo_loss(const LossInput& in, const LossOptions& options) {
  auto weight = [&](size_t i) {
    const int64_t length = std::max<int64_t>(1, in.offsets[i + 1] - in.offsets[i]);
    return 1.0 / (static_cast<double>(length) * static_cast<double>(in.rollout_size));
  };
  return sum_terms(in, options, weight, [&](size_t i, size_t t) {
    return clipped_surrogate(static_cast<double>(in.logprob[t]),
                             static_cast<double>(in.old_logprob[t]), in.advantage[i],
                             options.epsilon, options.high());
  });
}

}  // namespace r1
