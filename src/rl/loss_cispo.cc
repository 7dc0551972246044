// CISPO (MiniMax-M1, 2025, equation 4): the ratio is clipped above and treated as a constant weight
// of the log-likelihood, so that no token's gradient is dropped:
//   1/(sum_i |o_i|) sum_i sum_t -stop_gradient(min(r, 1 + epsilon_high)) A_i logprob_t + beta KL
#include <algorithm>
#include <cmath>

#include "rl/loss.h"

namespace r1 {

LossOutput cispo_loss(const LossInput& in, const LossOptions& options) {
  const double w = 1.0 / static_cast<double>(std::max<int64_t>(1, in.rollout_tokens));
  return sum_terms(
      in, options, [&](size_t) { return w; },
      [&](size_t i, size_t t) {
        const double logprob = static_cast<double>(in.logprob[t]);
        const double ratio = std::exp(logprob - static_cast<double>(in.old_logprob[t]));
        const double bound = 1.0 + options.high(), slope = std::min(ratio, bound) * in.advantage[i];
        return TokenTerm{-slope * logprob, -slope, ratio > bound && in.advantage[i] > 0};
      });
}

}  // namespace r1
