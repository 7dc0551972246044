#include "tasks/countdown.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "tasks/countdown_traces.h"
#include "tasks/expression.h"

namespace r1 {
namespace {

const CountdownProblem kProblem{{3, 7, 8}, 53};

std::string answered(std::string_view text) {
  return "<think>\n8 * 7 = 56\n</think>\n<answer>" + std::string(text) + "</answer>";
}

Verdict judge(const CountdownProblem& problem, std::string_view answer) {
  return make_task("countdown")->verify(make_countdown_problem(problem), answered(answer));
}

bool solvable(const CountdownProblem& p) {
  const auto attempts = countdown_attempts(p.numbers);
  return std::any_of(attempts.begin(), attempts.end(),
                     [&](const CountdownAttempt& a) { return a.value == p.target; });
}

TEST(Countdown, HasAllDefaultProblemsAndEachCanBeSolved) {
  const auto task = make_task("countdown");
  const auto train = task->all(Split::kTrain), test = task->all(Split::kTest);
  EXPECT_EQ(train.size() + test.size(), 3248u);
  EXPECT_GT(test.size(), 300u);
  std::set<std::string> prompts, train_keys;
  for (const Problem& p : train) train_keys.insert(p.key);
  for (const auto* list : {&train, &test}) {
    for (const Problem& p : *list) {
      EXPECT_TRUE(prompts.insert(p.prompt).second) << p.prompt;
      EXPECT_TRUE(solvable(countdown_problem(p))) << p.prompt;
    }
  }
  for (const Problem& p : test) EXPECT_FALSE(train_keys.contains(p.key)) << p.key;
}

TEST(Countdown, ProblemsOfMoreNumbersCanBeSolved) {
  const auto task = make_task("countdown", {{"count", 4}});
  EXPECT_TRUE(task->all(Split::kTrain).empty());
  Rng rng(3);
  for (int i = 0; i < 30; ++i) {
    const CountdownProblem p = countdown_problem(task->sample(rng, Split::kTrain));
    EXPECT_EQ(p.numbers.size(), 4u);
    EXPECT_TRUE(solvable(p));
  }
}

TEST(Countdown, AttemptsAreDistinctAndSayWhatTheyAreWorth) {
  const auto attempts = countdown_attempts({3, 7, 8});
  std::set<std::string> expressions;
  for (const CountdownAttempt& a : attempts) {
    EXPECT_TRUE(expressions.insert(a.expression).second) << a.expression;
    const auto e = parse_expression(a.expression);
    ASSERT_TRUE(e && e->value) << a.expression;
    EXPECT_EQ(*e->value, Rational(a.value)) << a.expression;
    EXPECT_GE(a.value, 1);
    EXPECT_LE(a.value, 99);
    EXPECT_TRUE(a.steps.starts_with(a.first_step)) << a.steps;
    EXPECT_TRUE(judge({{3, 7, 8}, a.value}, a.expression).correct) << a.expression;
  }
  EXPECT_TRUE(expressions.contains("(8 * 7) - 3"));
  // The one sum is there once, from the largest number down.
  EXPECT_EQ(std::count_if(attempts.begin(), attempts.end(),
                          [](const CountdownAttempt& a) { return a.value == 18; }),
            1);
  EXPECT_TRUE(expressions.contains("(8 + 7) + 3"));
}

TEST(CountdownVerifier, AcceptsEveryRightSpelling) {
  for (const char* answer : {"(8 * 7) - 3", "8*7-3", " 7 × 8 − 3\n", "((8)*(7))-((3))",
                             "-3 + 8 · 7", "-(3 - 7*8)", "8 * 7 - 3 = 53", "8*7-3=53.0"}) {
    const Verdict v = judge(kProblem, answer);
    EXPECT_TRUE(v.correct) << answer << ": " << v.reason;
    EXPECT_TRUE(v.parsed) << answer;
  }
  EXPECT_TRUE(judge({{2, 3, 8}, 12}, "8 ÷ 2 × 3").correct);
}

TEST(CountdownVerifier, DemandsEachNumberOnce) {
  for (const char* answer : {"8 * 7", "8*7-3+3-3", "53", "50 + 3", "87 - 34", "8*7-3*1", "7*7+8-4",
                             "3 * 7 + 8 * 3 + 8", "8*7-03+0"}) {
    const Verdict v = judge(kProblem, answer);
    EXPECT_EQ(v.reward, 0) << answer;
    EXPECT_EQ(v.reason, "wrong numbers") << answer;
    EXPECT_TRUE(v.parsed) << answer;
  }
  // A number that is given twice is used twice.
  EXPECT_TRUE(judge({{5, 5, 2}, 12}, "5 + 5 + 2").correct);
  EXPECT_EQ(judge({{5, 5, 2}, 10}, "5 * 2").reason, "wrong numbers");
}

TEST(CountdownVerifier, TellsWrongFromUnparseable) {
  for (const char* answer : {"8 + 7 + 3", "8 * (7 - 3)", "8+7+3 = 18", "8*7-3 = 54", "8+7+3=53"}) {
    const Verdict v = judge(kProblem, answer);
    EXPECT_EQ(v.reward, 0) << answer;
    EXPECT_EQ(v.reason, "wrong") << answer;
    EXPECT_TRUE(v.parsed) << answer;
  }
  for (const char* answer : {"8 x 7 - 3", "eight times seven minus three", "8 * 7 - 3 or 8 + 7",
                             "8*7, -3", "53 = 8*7-3", "8*7-3 = 53 = 53", "8*7-3 =", "= 53",
                             "8 * 7 = 56, 56 - 3 = 53", "8*7-3=53;", "\\boxed{8*7-3}"}) {
    const Verdict v = judge(kProblem, answer);
    EXPECT_EQ(v.reward, 0) << answer;
    EXPECT_EQ(v.reason, "unparseable") << answer;
    EXPECT_FALSE(v.parsed) << answer;
  }
  EXPECT_EQ(judge(kProblem, "  ").reason, "empty answer");
  EXPECT_FALSE(judge(kProblem, "").parsed);
}

TEST(CountdownVerifier, DividesExactly) {
  const CountdownProblem p{{3, 3, 8, 8}, 24};
  EXPECT_TRUE(judge(p, "8 / (3 - 8 / 3)").correct);
  EXPECT_TRUE(judge(p, "8 ÷ (3 − 8 ÷ 3) = 24").correct);
  EXPECT_EQ(judge({{1, 3, 3}, 1}, "1 / 3 * 3").reason, "correct");
  EXPECT_EQ(judge({{2, 3, 7}, 10}, "7 / 2 * 3").reason, "wrong");  // 10.5 does not round
  EXPECT_EQ(judge({{3, 3, 8}, 24}, "8 / (3 - 3)").reason, "division by zero");
  EXPECT_TRUE(judge({{3, 3, 8}, 24}, "8 / (3 - 3)").parsed);
}

TEST(CountdownVerifier, RefusesHugeAnswers) {
  const std::string deep = std::string(50000, '(') + "8*7-3" + std::string(50000, ')');
  for (const std::string& answer :
       {std::string(100000, '('), std::string(100000, '-') + "1", deep, std::string(100000, '9'),
        std::string(100000, ' ') + "1" + std::string(100000, ' ') + "1",
        std::string(100000, '=')}) {
    EXPECT_EQ(judge(kProblem, answer).reason, "unparseable");
  }
  std::string sum = "8*7-3";
  while (sum.size() < 100000) sum += "+0";
  EXPECT_EQ(judge(kProblem, sum).reason, "unparseable");
}

TEST(CountdownData, IsReadBackAndChecked) {
  const CountdownProblem p = countdown_problem(make_countdown_problem(kProblem));
  EXPECT_EQ(p.numbers, kProblem.numbers);
  EXPECT_EQ(p.target, kProblem.target);
  Problem bad;
  for (const char* data :
       {"null", "[]", "{}", R"({"numbers": [1, 2]})", R"({"target": 3})",
        R"({"numbers": [1, "2"], "target": 3})", R"({"numbers": [1, 2.5], "target": 3})",
        R"({"numbers": 12, "target": 3})", R"({"numbers": [1, 2], "target": "3"})"}) {
    bad.data = parse_json(data, "test");
    EXPECT_THROW(countdown_problem(bad), InputError) << data;
  }
}

// What training reads of a task, and what it measures.
TEST(CountdownTask, WritesWorkedExamples) {
  const auto task = make_task("countdown");
  SolutionOptions options;
  Rng rng(3);
  const WorkedExample trace = task->worked_example(rng, options);
  EXPECT_TRUE(trace.prompt.starts_with("Numbers: "));
  EXPECT_TRUE(trace.completion.starts_with("<think>\n"));
  EXPECT_TRUE(trace.ends);
  EXPECT_TRUE(trace.learn_behind.empty());
  // The same example as the task's parts write, draw by draw.
  Rng same(3);
  same.uniform();
  const Problem problem = task->sample(same, Split::kTrain);
  EXPECT_EQ(problem.prompt, trace.prompt);
  EXPECT_EQ(countdown_trace(countdown_problem(problem), same, TraceOptions()), trace.completion);
  set_config("drill=1", options);
  const WorkedExample drill = task->worked_example(rng, options);
  EXPECT_EQ(drill.prompt, "");
  EXPECT_FALSE(drill.ends);
  EXPECT_EQ(drill.learn_behind, " =");
  EXPECT_NE(drill.completion.find(" = "), std::string::npos);
}

TEST(CountdownTask, MeasuresSkills) {
  const auto skills = make_task("countdown")->skills();
  ASSERT_NE(skills, nullptr);
  skills->add(make_countdown_problem({{3, 7, 8}, 53}),
              "<think>\n8 * 7 = 56, 56 - 3 = 53 vs 53 yes\n8 + 7 = 16, 16 - 3 = 13 vs 53 no\n"
              "</think>\n<answer>(8 * 7) - 3</answer>");
  std::map<std::string, SkillShare> shares;
  for (const auto& [name, share] : skills->shares()) shares[name] = share;
  EXPECT_EQ(shares["arithmetic"].right, 3);
  EXPECT_EQ(shares["arithmetic"].total, 4);
  EXPECT_EQ(shares["check_hit"].value(), 1.0);
  EXPECT_EQ(shares["long"].value(), 0.0);
  EXPECT_THROW(skills->add(Problem{}, ""), InputError);
}

TEST(CountdownTask, ReadsWhatPeopleWrite) {
  const auto task = make_task("countdown");
  ASSERT_TRUE(task->chat_hint());
  Rng rng(1);
  EXPECT_TRUE(task->sample(rng, Split::kTrain).prompt.starts_with(task->chat_hint()->opening));
  for (const char* line : {"8 3 7 = 53", "3, 7, 8 -> 53", "3 7 8 53"}) {
    const auto problem = task->read_problem(line);
    ASSERT_TRUE(problem) << line;
    EXPECT_EQ(problem->prompt, "Numbers: 3 7 8\nTarget: 53\n") << line;
  }
  for (const char* line : {"", "hello", "3 4", "3 7 8 = x"}) {
    EXPECT_FALSE(task->read_problem(line)) << line;
  }
}

}  // namespace
}  // namespace r1
