// DAPO (Yu et al., 2025, section 3): the clipped surrogate averaged over all tokens of the rollout
// ("token-level loss"), with a higher upper clip ("clip-higher": set epsilon_high):
//   1/(sum_i |o_i|) sum_i sum_t -min(r A_i, clip(r, 1 - epsilon, 1 + epsilon_high) A_i) + beta KL
#include <algorithm>

#include "rl/loss.h"

namespace r1 {

LossOutput dapo_loss(const LossInput& in, const LossOptions& options) {
  const double w = 1.0 / static_cast<double>(std::max<int64_t>(1, in.rollout_tokens));
  return sum_terms(
      in, options, [&](size_t) { return w; },
      [&](size_t i, size_t t) {
        return clipped_surrogate(static_cast<double>(in.logprob[t]),
                                 static_cast<double>(in.old_logprob[t]), in.advantage[i],
                                 options.epsilon, options.high());
      });
}

}  // namespace r1
