// Estimates and how far to trust them: 95% intervals and pass@k.
#pragma once

#include <cstdint>
#include <span>

namespace r1 {

// An estimate and its 95% interval.
struct Interval {
  double value = 0, low = 0, high = 0;
};

// Of a share, from independent trials: the score interval (Wilson, 1927). n > 0.
Interval wilson_interval(int64_t successes, int64_t n);

// Of a mean over problems: percentiles of 2,000 bootstrap resamples of the problems, seeded.
Interval bootstrap_interval(std::span<const double> per_problem, uint64_t seed);

// The unbiased estimate of the probability that one of k completions is right, from n of which c
// are: 1 - C(n - c, k) / C(n, k)  (Chen et al., "Evaluating large language models trained on code",
// 2021, section 2.1). 1 <= k <= n.
double pass_at_k(int64_t n, int64_t c, int64_t k);

}  // namespace r1
