#include "rl/evaluation.h"

#include <gtest/gtest.h>

namespace r1 {
namespace {

GradedCompletion completion(const std::string& text, bool right, int64_t tokens = 3,
                            FinishReason reason = FinishReason::kStop) {
  GradedCompletion c;
  c.text = text;
  c.verdict.reward = right ? 1.0 : 0.0;
  c.verdict.correct = right;
  c.verdict.parsed = text.find("<answer>") != std::string::npos;
  c.completion.ids.assign(static_cast<size_t>(tokens), 7);
  c.completion.reason = reason;
  return c;
}

GradedCompletion answer(const std::string& text, bool right) {
  return completion("<think>so</think>\n<answer>" + text + "</answer>", right);
}

RolloutGroup group(std::vector<GradedCompletion> completions) {
  RolloutGroup g;
  g.completions = std::move(completions);
  count_votes(*make_task("multiplication"), g);
  return g;
}

// maj@k of one problem with all its completions.
double majority(std::vector<GradedCompletion> completions) {
  const std::vector<RolloutGroup> groups = {group(std::move(completions))};
  return evaluate_groups(groups).at_k.back().majority.value;
}

TEST(Evaluation, OfOneCompletionAProblem) {
  const std::vector<RolloutGroup> groups = {
      group({answer("1", true)}), group({answer("2", false)}), group({answer("3", true)}),
      group({completion("well", false, 9, FinishReason::kLength)})};
  const Evaluation e = evaluate_groups(groups);
  EXPECT_EQ(e.problems, 4);
  EXPECT_EQ(e.samples, 1);
  EXPECT_EQ(e.tokens_sampled, 3 + 3 + 3 + 9);
  EXPECT_EQ(e.completion_length, 4.5);
  EXPECT_EQ(e.unparseable, 1);
  EXPECT_EQ(e.truncated, 1);
  ASSERT_EQ(e.at_k.size(), 1u);
  const Interval wilson = wilson_interval(2, 4);
  EXPECT_EQ(e.accuracy.value, 0.5);
  EXPECT_EQ(e.accuracy.low, wilson.low);
  EXPECT_EQ(e.accuracy.high, wilson.high);
  EXPECT_EQ(e.at_k[0].majority.value, 0.5);
}

TEST(Evaluation, PassAndMajorityByHand) {
  // Right: 1 of 4 (a lone one), 3 of 4, none.
  const std::vector<RolloutGroup> groups = {
      group({answer("9", false), answer("4", true), answer("9", false), answer("8", false)}),
      group({answer("5", false), answer("6", true), answer("6", true), answer("6", true)}),
      group({answer("1", false), answer("2", false), answer("2", false), answer("2", false)})};
  const Evaluation e = evaluate_groups(groups);
  ASSERT_EQ(e.at_k.size(), 3u);
  EXPECT_EQ(e.at_k[0].k, 1);
  EXPECT_EQ(e.at_k[1].k, 2);
  EXPECT_EQ(e.at_k[2].k, 4);
  EXPECT_NEAR(e.accuracy.value, (0.25 + 0.75 + 0) / 3, 1e-12);
  // Of two completions: 1 - C(3, 2) / C(4, 2) = 1/2, 1 - 0, 0.
  EXPECT_NEAR(e.at_k[1].pass.value, (0.5 + 1 + 0) / 3, 1e-12);
  EXPECT_NEAR(e.at_k[2].pass.value, 2.0 / 3, 1e-12);
  // Of the first: all wrong. Of the first two, a tie each: the one that came first counts.
  EXPECT_EQ(e.at_k[0].majority.value, 0);
  EXPECT_EQ(e.at_k[1].majority.value, 0);
  EXPECT_NEAR(e.at_k[2].majority.value, 1.0 / 3, 1e-12);
  EXPECT_EQ(e.at_k[0].tokens, 3);
  EXPECT_EQ(e.at_k[2].tokens, 12);
  for (const EvaluationAtK& row : e.at_k) {
    EXPECT_LE(row.pass.low, row.pass.value);
    EXPECT_LE(row.pass.value, row.pass.high);
  }
}

TEST(Evaluation, LastRowHasAllSamples) {
  std::vector<GradedCompletion> six;
  for (int i = 0; i < 6; ++i) six.push_back(answer(std::to_string(i), i == 5));
  const std::vector<RolloutGroup> groups = {group(std::move(six))};
  const Evaluation e = evaluate_groups(groups);
  std::vector<int64_t> ks;
  for (const EvaluationAtK& row : e.at_k) ks.push_back(row.k);
  EXPECT_EQ(ks, (std::vector<int64_t>{1, 2, 4, 6}));
  EXPECT_NEAR(e.at_k[2].pass.value, 4.0 / 6, 1e-12);
  EXPECT_EQ(e.at_k[3].pass.value, 1);
}

// Verdicts in these groups are what a verifier would say of each text.
TEST(Evaluation, VotesAreCountedByValue) {
  // Three ways to write 1/2 against two votes for 3.
  EXPECT_EQ(majority({answer("3", false), answer("3", false), answer("0.5", true),
                      answer("1/2", true), answer(" 2/4\n", true)}),
            1);
  EXPECT_EQ(majority({answer("7", true), answer("1,000", false), answer("1000", false)}), 0);
  // What is no number: by its text, spaces aside.
  EXPECT_EQ(majority({answer("5 + 6", false), answer("(2+3) * 4", true),
                      answer("( 2 + 3 )*4", true), answer("6 + 5", false)}),
            1);
  EXPECT_EQ(majority({answer("a b", true), answer("c", false), answer("ab", true)}), 1);
}

TEST(Evaluation, WithoutAnAnswerThereIsNoVote) {
  const GradedCompletion silent = completion("I do not know", false);
  const GradedCompletion thinking = completion("<think><answer>3</answer>", false);
  const GradedCompletion two = completion("<answer>3</answer><answer>4</answer>", false);
  EXPECT_EQ(majority({silent, silent, thinking, two, answer("4", true)}), 1);
  EXPECT_EQ(majority({silent, thinking, two}), 0);
  EXPECT_EQ(majority({answer("", false), answer("  ", false), answer("4", true)}), 1);
}

TEST(Evaluation, JsonHasWhatWasMeasured) {
  const std::vector<RolloutGroup> groups = {group({answer("1", true), answer("2", false)})};
  const Evaluation e = evaluate_groups(groups);
  const OrderedJson json = evaluation_json(e);
  EXPECT_EQ(json["problems"], 1);
  EXPECT_EQ(json["samples"], 2);
  EXPECT_EQ(json["accuracy"]["value"], 0.5);
  EXPECT_EQ(json["accuracy"]["low"], e.accuracy.low);
  ASSERT_EQ(json["at_k"].size(), 2u);
  EXPECT_EQ(json["at_k"][1]["k"], 2);
  EXPECT_EQ(json["at_k"][1]["pass"]["value"], 1.0);
  EXPECT_EQ(json["at_k"][1]["tokens_per_problem"], 6.0);
  EXPECT_EQ(json["tokens_sampled"], 6);
}

}  // namespace
}  // namespace r1
