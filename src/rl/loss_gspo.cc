// GSPO (Zheng et al., 2025, equations 5 to 7): the ratio is the whole sequence's, normalized by its
// length, s_i = exp(mean_t (logprob_t - old_t)), and is clipped once a sequence:
//   1/N sum_i -min(s_i A_i, clip(s_i) A_i) + beta KL
// d s_i / d logprob_t = s_i / |o_i|, the same for every token.
#include <algorithm>
#include <vector>

#include "rl/loss.h"

namespace r1 {

LossOutput gspo_loss(const LossInput& in, const LossOptions& options) {
  std::vector<TokenTerm> terms(in.mask.size());
  for (size_t i = 0; i < terms.size(); ++i) {
    double gap = 0;
    for (int64_t t = in.offsets[i]; t < in.offsets[i + 1]; ++t) {
      const size_t at = static_cast<size_t>(t);
      gap += static_cast<double>(in.logprob[at]) - static_cast<double>(in.old_logprob[at]);
    }
    const int64_t length = std::max<int64_t>(1, in.offsets[i + 1] - in.offsets[i]);
    terms[i] = clipped_surrogate(gap / static_cast<double>(length), 0.0, in.advantage[i],
                                 options.epsilon, options.high());
  }
  // Each token carries its sequence's value and derivative; the weight makes a mean of them.
  auto weight = [&](size_t i) {
    const int64_t length = std::max<int64_t>(1, in.offsets[i + 1] - in.offsets[i]);
    return 1.0 / (static_cast<double>(length) * static_cast<double>(in.rollout_size));
  };
  return sum_terms(in, options, weight, [&](size_t i, size_t) { return terms[i]; });
}

}  // namespace r1
