#include "rl/statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "base/rng.h"

namespace r1 {
namespace {

// Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3:
// four digits as printed.
TEST(Statistics, WilsonHasThePublishedValues) {
  struct Row {
    int64_t successes, n;
    double low, high;
  };
  for (const Row& row : std::initializer_list<Row>{{81, 263, 0.2553, 0.3662},
                                                   {15, 148, 0.0624, 0.1605},
                                                   {0, 20, 0.0000, 0.1611},
                                                   {1, 29, 0.0061, 0.1718}}) {
    const Interval i = wilson_interval(row.successes, row.n);
    EXPECT_DOUBLE_EQ(i.value, static_cast<double>(row.successes) / static_cast<double>(row.n));
    EXPECT_NEAR(i.low, row.low, 5e-5) << row.successes << " of " << row.n;
    EXPECT_NEAR(i.high, row.high, 5e-5) << row.successes << " of " << row.n;
  }
}

// Its ends are the shares p that lie 1.96 of their own standard errors from what was seen.
TEST(Statistics, WilsonEndsSolveTheScoreEquation) {
  for (const int64_t n : {1, 7, 100, 5000}) {
    for (int64_t c = 0; c <= n; c += std::max<int64_t>(1, n / 6)) {
      const Interval i = wilson_interval(c, n);
      EXPECT_LE(0, i.low);
      EXPECT_LE(i.low, i.value + 1e-15);
      EXPECT_LE(i.value, i.high + 1e-15);
      EXPECT_LE(i.high, 1);
      const Interval mirror = wilson_interval(n - c, n);
      EXPECT_NEAR(mirror.low, 1 - i.high, 1e-12);
      for (const double end : {i.low, i.high}) {
        if (end < 1e-9 || end > 1 - 1e-9) continue;
        const double error = std::sqrt(end * (1 - end) / static_cast<double>(n));
        EXPECT_NEAR(std::abs(i.value - end) / error, 1.95996, 1e-4) << c << " of " << n;
      }
    }
  }
}

// The share of the k-subsets of n completions, c of them right, that hold a right one.
double pass_by_enumeration(int64_t n, int64_t c, int64_t k) {
  const uint32_t right = (uint32_t{1} << c) - 1;
  int64_t subsets = 0, hits = 0;
  for (uint32_t s = 0; s < (uint32_t{1} << n); ++s) {
    if (std::popcount(s) != k) continue;
    ++subsets;
    hits += (s & right) != 0 ? 1 : 0;
  }
  return static_cast<double>(hits) / static_cast<double>(subsets);
}

TEST(Statistics, PassAtKCountsSubsets) {
  for (int64_t n = 1; n <= 9; ++n) {
    for (int64_t c = 0; c <= n; ++c) {
      for (int64_t k = 1; k <= n; ++k) {
        EXPECT_NEAR(pass_at_k(n, c, k), pass_by_enumeration(n, c, k), 1e-12)
            << n << " " << c << " " << k;
      }
    }
  }
}

TEST(Statistics, PassAtKOfManySamples) {
  EXPECT_NEAR(pass_at_k(1000, 10, 100), 1 - std::exp([] {
                                          double log_wrong =
                                              0;  // log of C(990, 100) / C(1000, 100)
                                          for (int i = 0; i < 10; ++i)
                                            log_wrong += std::log((900.0 - i) / (1000.0 - i));
                                          return log_wrong;
                                        }()),
              1e-12);
  EXPECT_EQ(pass_at_k(1000, 0, 1000), 0);
  EXPECT_EQ(pass_at_k(1000, 1, 1000), 1);
}

TEST(Statistics, BootstrapIsDeterministic) {
  Rng rng(4);
  std::vector<double> values;
  for (int i = 0; i < 60; ++i) values.push_back(rng.uniform());
  const Interval a = bootstrap_interval(values, 1), b = bootstrap_interval(values, 1);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  const Interval other = bootstrap_interval(values, 2);
  EXPECT_EQ(a.value, other.value);
  EXPECT_TRUE(a.low != other.low || a.high != other.high);
  EXPECT_NEAR(a.low, other.low, 0.02);
  EXPECT_NEAR(a.high, other.high, 0.02);
}

TEST(Statistics, BootstrapOfEqualValuesHasNoWidth) {
  const std::vector<double> same(12, 0.25);
  const Interval i = bootstrap_interval(same, 3);
  EXPECT_EQ(i.value, 0.25);
  EXPECT_EQ(i.low, 0.25);
  EXPECT_EQ(i.high, 0.25);
}

// It is a 95% interval: of 200 samples with a known mean it misses some 10. Fewer than 2 or more
// than 24 would come by chance once in ten thousand times.
TEST(Statistics, BootstrapCoversTheMean) {
  Rng rng(9);
  int missed = 0;
  double width = 0;
  for (uint64_t trial = 0; trial < 200; ++trial) {
    std::vector<double> values;
    for (int i = 0; i < 50; ++i) values.push_back(rng.uniform());
    const Interval interval = bootstrap_interval(values, trial);
    EXPECT_LE(interval.low, interval.value);
    EXPECT_LE(interval.value, interval.high);
    missed += interval.low <= 0.5 && 0.5 <= interval.high ? 0 : 1;
    width += (interval.high - interval.low) / 200;
  }
  EXPECT_GE(missed, 2);
  EXPECT_LE(missed, 24);
  EXPECT_NEAR(width, 2 * 1.96 / std::sqrt(12.0 * 50), 0.01);
}

}  // namespace
}  // namespace r1
