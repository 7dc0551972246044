#include "base/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace r1 {
namespace {

using Block = std::array<uint32_t, 4>;

// Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, answer. Our counter words are
// (counter low, counter high, stream low, stream high), our key words (seed low, seed high).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint64_t kOnes = ~uint64_t{0};
  EXPECT_EQ(philox(kOnes, kOnes, kOnes), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, WalksTheBlocksOfItsStream) {
  Rng rng(5, 9);
  for (uint64_t counter = 0; counter < 3; ++counter) {
    for (const uint32_t word : philox(5, 9, counter)) EXPECT_EQ(rng.next_u32(), word);
  }
  Rng wide(5, 9);
  const Block block = philox(5, 9, 0);
  EXPECT_EQ(wide.next_u64(), uint64_t{block[1]} << 32 | block[0]);
}

TEST(Rng, StreamsAndSeedsDiffer) {
  EXPECT_NE(Rng(1, 0).next_u64(), Rng(1, 1).next_u64());
  EXPECT_NE(Rng(1, 0).next_u64(), Rng(2, 0).next_u64());
  EXPECT_NE(mix_seed(1, 2), mix_seed(2, 1));
}

TEST(Rng, UniformHasItsMoments) {
  Rng rng(1);
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);  // 5 standard errors
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 0.005);
}

TEST(Rng, NormalHasItsMoments) {
  Rng rng(2);
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.016);
  EXPECT_NEAR(squares / kDraws, 1, 0.023);
  EXPECT_NEAR(fourth / kDraws, 3, 0.16);
}

TEST(Rng, BelowIsUniformAndInRange) {
  Rng rng(3);
  std::array<int, 7> counts{};
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++counts.at(rng.below(7));
  double chi2 = 0;
  for (const int n : counts) chi2 += (n - 10000.0) * (n - 10000.0) / 10000;
  EXPECT_LT(chi2, 27.9);  // 6 degrees of freedom, p = 1e-4
  EXPECT_EQ(rng.below(1), 0u);
  // A range where a plain modulus would be biased: 3/4 of 2^64 maps a third of its values twice.
  const uint64_t n = uint64_t{3} << 62;
  int low = 0;
  for (int i = 0; i < 30000; ++i) low += rng.below(n) < n / 3;
  EXPECT_NEAR(low / 30000.0, 1.0 / 3, 0.014);
}

TEST(Rng, BetweenIncludesBothEnds) {
  Rng rng(4);
  bool low = false, high = false;
  for (int i = 0; i < 200; ++i) {
    const int64_t x = rng.between(-2, 2);
    ASSERT_GE(x, -2);
    ASSERT_LE(x, 2);
    low |= x == -2;
    high |= x == 2;
  }
  EXPECT_TRUE(low);
  EXPECT_TRUE(high);
}

TEST(Rng, ShuffleReachesEveryOrderEvenly) {
  Rng rng(6);
  std::array<int, 6> counts{};
  for (int i = 0; i < 12000; ++i) {
    std::vector<int> v = {0, 1, 2};
    rng.shuffle(v);
    std::vector<int> order = {0, 1, 2};
    size_t rank = 0;
    while (order != v) {
      ASSERT_TRUE(std::next_permutation(order.begin(), order.end()));
      ++rank;
    }
    ++counts.at(rank);
  }
  for (const int n : counts) EXPECT_NEAR(n, 2000, 205);  // 5 standard deviations
}

}  // namespace
}  // namespace r1
