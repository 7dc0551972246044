#include "rl/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "rl/advantages.h"

namespace r1 {

Interval wilson_interval(int64_t successes, int64_t n) {
  R1_CHECK(n > 0 && successes >= 0 && successes <= n);
  constexpr double z = 1.959963984540054;
  const double trials = static_cast<double>(n), p = static_cast<double>(successes) / trials;
  const double scale = 1.0 + z * z / trials;
  const double center = (p + z * z / (2 * trials)) / scale;
  const double half = z / scale * std::sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials));
  return {p, successes == 0 ? 0.0 : center - half, successes == n ? 1.0 : center + half};
}

Interval bootstrap_interval(std::span<const double> per_problem, uint64_t seed) {
  R1_CHECK(!per_problem.empty());
  constexpr size_t kResamples = 2000;
  Rng rng(seed, 0xB007);
  std::vector<double> means;
  for (size_t r = 0; r < kResamples; ++r) {
    double total = 0;
    for (size_t i = 0; i < per_problem.size(); ++i) {
      total += per_problem[rng.below(per_problem.size())];
    }
    means.push_back(total / static_cast<double>(per_problem.size()));
  }
  std::sort(means.begin(), means.end());
  return {mean(per_problem), means[kResamples * 25 / 1000], means[kResamples * 975 / 1000 - 1]};
}

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  R1_CHECK(k >= 1 && k <= n && c >= 0 && c <= n);
  double all_wrong = 1.0;
  for (int64_t i = 0; i < k; ++i) {
    all_wrong *= static_cast<double>(std::max<int64_t>(0, n - c - i)) / static_cast<double>(n - i);
  }
  return 1.0 - all_wrong;
}

}  // namespace r1
