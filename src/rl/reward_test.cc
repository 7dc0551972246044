#include "rl/reward.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {

RolloutGroup group_of(std::vector<Verdict> verdicts) {
  RolloutGroup g;
  for (Verdict& v : verdicts) {
    GradedCompletion c;
    c.verdict = std::move(v);
    g.completions.push_back(std::move(c));
  }
  return g;
}

TEST(Rewards, OfTheVerifierAloneByDefault) {
  const Rewards rewards{RewardOptions()};
  EXPECT_EQ(rewards.names(), std::vector<std::string>{"correct"});
  RolloutGroup g = group_of({Verdict::right(), Verdict::wrong(), {0.1, "close", true}});
  rewards.grade(g);
  rewards.grade(g);  // again gives the same
  EXPECT_EQ(g.completions[0].reward, 1);
  EXPECT_EQ(g.completions[1].reward, 0);
  EXPECT_EQ(g.completions[2].reward, 0.1);
  EXPECT_EQ(g.completions[2].rewards, std::vector<double>{0.1});
}

TEST(Rewards, AreWeighted) {
  RewardOptions options;
  options.reward_weights = {0.25};
  RolloutGroup g = group_of({Verdict::right()});
  Rewards(options).grade(g);
  EXPECT_EQ(g.completions[0].rewards, std::vector<double>{1.0});  // before its weight
  EXPECT_EQ(g.completions[0].reward, 0.25);
  EXPECT_TRUE(g.completions[0].verdict.correct);
}

TEST(Rewards, SayWhatIsWrong) {
  auto with = [](std::vector<std::string> names, std::vector<double> weights) {
    RewardOptions options;
    options.rewards = std::move(names);
    options.reward_weights = std::move(weights);
    return error_of([&] { Rewards rewards(options); });
  };
  EXPECT_HAS(with({}, {}), "at least one");
  EXPECT_HAS(with({"correct", "correct"}, {}), "twice");
  EXPECT_HAS(with({"corect"}, {}), "did you mean \"correct\"");
  EXPECT_HAS(with({"correct"}, {1, 2}), "expected one for each of the 1 rewards, found 2");
}

TEST(Rewards, FormatIsThatOfTheTemplate) {
  const Problem problem;
  const Completion completion;
  const auto format = [&](std::string_view text) {
    return reward_format({problem, text, completion, Verdict{}});
  };
  EXPECT_EQ(format("<think>a</think><answer>1</answer>"), 1);
  EXPECT_EQ(format(" <think>\na\n</think>\n\n<answer> 1 </answer>\n"), 1);
  for (const char* text :
       {"<answer>1</answer>", "<think>a<answer>1</answer>", "<think>a</think>1",
        "so <think>a</think><answer>1</answer>", "<think>a</think>so <answer>1</answer>",
        "<think>a</think><answer>1</answer> so", "<think>a</think><answer>1",
        "<think>a</think><answer>1</answer><answer>1</answer>",
        "<think>a<think></think><answer>1</answer>", "<answer>1</answer><think>a</think>",
        "<think>a</think><answer>1</answer></think>", "<think><answer>1</answer></think>"}) {
    EXPECT_EQ(format(text), 0) << text;
  }
}

TEST(Rewards, EveryRowTakesAnyText) {
  const Problem problem;
  const Completion completion;
  for (const std::string& name : reward_names()) {
    for (const char* text : {"", "<think>", "</think></think>", "<answer><answer>", "\xff\x01"}) {
      const double reward =
          find_reward(name)({problem, text, completion, Verdict{0, "no answer", false}});
      EXPECT_GE(reward, 0) << name;
      EXPECT_LE(reward, 1) << name;
    }
  }
}

}  // namespace
}  // namespace r1
