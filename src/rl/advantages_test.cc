#include "rl/advantages.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace r1 {
namespace {

using Rewards = std::vector<std::vector<double>>;

const Rewards kRewards = {{1, 0, 0, 1, 0}, {1, 1, 1}, {0.1, 0.1}, {0, 2, 0.5, 0.5}};

TEST(Advantages, MeanAndDeviation) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  EXPECT_DOUBLE_EQ(mean(values), 5);
  EXPECT_DOUBLE_EQ(deviation(values), std::sqrt(32.0 / 7));
  EXPECT_EQ(mean({}), 0);
  EXPECT_EQ(deviation({}), 0);
  EXPECT_EQ(deviation(std::span(values).first(1)), 0);
}

// By hand: group 0 has mean 0.4 and variance (2 * 0.36 + 3 * 0.16) / 4 = 0.3.
TEST(Advantages, ScaledByNothingTheGroupOrTheBatch) {
  const GroupAdvantages none = group_advantages(kRewards, "none", false);
  EXPECT_DOUBLE_EQ(none.advantage[0][0], 0.6);
  EXPECT_DOUBLE_EQ(none.advantage[0][1], -0.4);
  EXPECT_DOUBLE_EQ(none.advantage[3][1], 1.25);

  const GroupAdvantages group = group_advantages(kRewards, "group", false);
  EXPECT_DOUBLE_EQ(group.advantage[0][0], 0.6 / (std::sqrt(0.3) + 1e-4));
  EXPECT_DOUBLE_EQ(group.advantage[3][1], 1.25 / (std::sqrt(2.25 / 3) + 1e-4));

  // All 14 rewards: sum 8.2, squares 1+1+3+0.02+4.5 = 9.52.
  const double batch_deviation = std::sqrt((9.52 - 8.2 * 8.2 / 14) / 13);
  const GroupAdvantages batch = group_advantages(kRewards, "batch", false);
  EXPECT_NEAR(batch.advantage[0][0], 0.6 / (batch_deviation + 1e-4), 1e-12);
  EXPECT_NEAR(batch.advantage[3][1], 1.25 / (batch_deviation + 1e-4), 1e-12);
}

// From its definition: the reward less the mean of the others'.
TEST(Advantages, LeaveOneOutIsTheMeanOfTheOthers) {
  const GroupAdvantages out = group_advantages(kRewards, "none", true);
  for (size_t g = 0; g < kRewards.size(); ++g) {
    for (size_t i = 0; i < kRewards[g].size(); ++i) {
      double others = 0;
      for (size_t j = 0; j < kRewards[g].size(); ++j) others += j == i ? 0 : kRewards[g][j];
      others /= static_cast<double>(kRewards[g].size() - 1);
      EXPECT_NEAR(out.advantage[g][i], kRewards[g][i] - others, 1e-12) << g << " " << i;
    }
  }
}

TEST(Advantages, OfAGroupSumToZero) {
  Rng rng(1);
  Rewards rewards(20);
  for (auto& group : rewards) {
    for (int i = 0; i < 7; ++i) group.push_back(rng.uniform());
  }
  for (const char* scale : {"none", "group", "batch"}) {
    for (const bool leave_one_out : {false, true}) {
      const GroupAdvantages out = group_advantages(rewards, scale, leave_one_out);
      EXPECT_EQ(out.mixed_groups, 20);
      for (const auto& group : out.advantage) EXPECT_NEAR(mean(group), 0, 1e-12);
    }
  }
}

TEST(Advantages, OnlyGroupsWhoseRewardsDifferAreMixed) {
  for (const char* scale : {"none", "group", "batch"}) {
    const GroupAdvantages out = group_advantages(kRewards, scale, false);
    EXPECT_EQ(out.mixed, (std::vector<bool>{true, false, false, true}));
    EXPECT_EQ(out.mixed_groups, 2);
    for (const double a : out.advantage[1]) EXPECT_EQ(a, 0);
  }
  const GroupAdvantages alone = group_advantages(Rewards{{0.7}}, "group", true);
  EXPECT_EQ(alone.advantage[0][0], 0);
  EXPECT_EQ(alone.mixed_groups, 0);
}

}  // namespace
}  // namespace r1
