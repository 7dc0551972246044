// What every task of the registry must keep to.
#include "tasks/task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/testing.h"
#include "tasks/countdown.h"
#include "tasks/knobs.h"
#include "text/think.h"

namespace r1 {
namespace {

std::string answered(std::string_view answer) {
  return "<think>\nLet me see.\n</think>\n<answer>" + std::string(answer) + "</answer>";
}

std::string reference_answer(const Problem& p) {
  if (!p.answer.empty()) return p.answer;
  const CountdownProblem countdown = countdown_problem(p);
  for (const CountdownAttempt& a : countdown_attempts(countdown.numbers)) {
    if (a.value == countdown.target) return a.expression;
  }
  return "";
}

// An answer of the right form that is wrong, by task.
const std::map<std::string, std::function<std::string(const Problem&)>> kWrongAnswers = {
    {"countdown",
     [](const Problem& p) {
       const CountdownProblem countdown = countdown_problem(p);
       for (const CountdownAttempt& a : countdown_attempts(countdown.numbers)) {
         if (a.value != countdown.target) return a.expression;
       }
       return std::string();
     }},
    {"chain-arithmetic", [](const Problem& p) { return p.answer + "1"; }},
    {"multiplication", [](const Problem& p) { return "-" + p.answer; }},
    {"number-sequence", [](const Problem& p) { return p.answer + "0.5"; }},
    {"knights-knaves",
     [](const Problem& p) {
       const size_t colon = p.answer.find(": kn") + 2;
       const bool knight = p.answer.substr(colon).starts_with("knight");
       std::string wrong = p.answer;
       return wrong.replace(colon, knight ? 6 : 5, knight ? "knave" : "knight");
     }},
    {"sudoku4", [](const Problem& p) { return p.answer.substr(4) + p.answer.substr(0, 4); }},
    {"sorting",
     [](const Problem& p) { return p.answer.substr(p.answer.rfind(' ')) + ", " + p.answer; }},
    {"linear-equation", [](const Problem& p) { return p.answer + "1"; }},
};

class EveryTask : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Task> task_ = make_task(GetParam());

  Verdict verify(const Problem& p, std::string_view completion) const {
    const Verdict v = task_->verify(p, completion);
    EXPECT_TRUE(v.reward == 0 || v.reward == 1) << v.reward;
    EXPECT_FALSE(v.reason.empty());
    if (v.correct) {
      EXPECT_TRUE(v.parsed);
    }
    return v;
  }
};

TEST_P(EveryTask, DescribesItself) {
  EXPECT_EQ(task_->name(), GetParam());
  EXPECT_FALSE(task_->description().empty());
  for (const Knob& knob : task_->knobs()) {
    EXPECT_FALSE(knob.help.empty());
    EXPECT_LE(knob.min, knob.value);
    EXPECT_LE(knob.value, knob.max);
  }
}

TEST_P(EveryTask, ReferenceAnswersAreRightAndWrongOnesAreNot) {
  const auto& wrong_answer = kWrongAnswers.at(GetParam());
  Rng rng(1);
  for (int i = 0; i < 200; ++i) {
    const Problem p = task_->sample(rng, i % 2 == 0 ? Split::kTrain : Split::kTest);
    const std::string right = reference_answer(p), wrong = wrong_answer(p);
    Verdict v = verify(p, answered(right));
    EXPECT_TRUE(v.correct) << p.prompt << right << ": " << v.reason;
    EXPECT_TRUE(verify(p, "<answer>\n " + right + "\t\n</answer>\n").correct);
    v = verify(p, answered(wrong));
    EXPECT_EQ(v.reward, 0) << p.prompt << wrong;
    EXPECT_TRUE(v.parsed) << p.prompt << wrong << ": " << v.reason;
  }
}

TEST_P(EveryTask, ProblemsAreGradedFromTheirDataAlone) {
  Rng rng(2);
  const Problem p = task_->sample(rng, Split::kTrain);
  Problem read_back;
  read_back.data = parse_json(p.data.dump(), "test");
  EXPECT_TRUE(verify(read_back, answered(reference_answer(p))).correct);
  EXPECT_EQ(verify(read_back, answered(kWrongAnswers.at(GetParam())(p))).reason,
            verify(p, answered(kWrongAnswers.at(GetParam())(p))).reason);
}

TEST_P(EveryTask, MalformedDataIsAnInputError) {
  Rng rng(2);
  const Problem p = task_->sample(rng, Split::kTrain);
  const std::string right = answered(reference_answer(p));
  Problem bad = p;
  for (const char* data : {"null", "3", "\"x\"", "[]", "{}", "[1]"}) {
    bad.data = parse_json(data, "test");
    EXPECT_THROW(task_->verify(bad, right), InputError) << data;
    EXPECT_THROW(task_->verify(bad, "no answer"), InputError) << data;
  }
  // Every value in turn is of a wrong type; what the verifier does not read may be anything.
  int refused = 0;
  for (const auto& [key, value] : p.data.items()) {
    for (const Json& other : {Json(nullptr), Json(1.5), Json::object(), Json::array({"x"}),
                              Json("x"), Json(uint64_t{1} << 63)}) {
      bad.data = p.data;
      bad.data[key] = other;
      try {
        EXPECT_NO_FATAL_FAILURE(task_->verify(bad, right));
      } catch (const InputError&) {
        ++refused;
      }
    }
  }
  EXPECT_GE(refused, 4);
}

TEST_P(EveryTask, CheatingScoresNothing) {
  Rng rng(3);
  for (int i = 0; i < 50; ++i) {
    const Problem p = task_->sample(rng, Split::kTrain);
    const std::string right = reference_answer(p);
    const std::string span = "<answer>" + right + "</answer>";
    const std::map<std::string, std::string> cheats = {
        {"no tags", right},
        {"empty answer", "<answer></answer>"},
        {"blank answer", "<answer> \n </answer>"},
        {"the answer twice", span + span},
        {"two answers", span + "<answer>0</answer>"},
        {"an empty one, then one", "<answer></answer>" + span},
        {"inside thinking", "<think>" + span + "</think>"},
        {"inside thinking that does not end", "<think>" + span},
        {"inside a second block", "<think></think><think>" + span + "</think>"},
        {"inside the prompt's thinking", span + "</think>"},
        {"not closed", "<answer>" + right},
        {"not opened", right + "</answer>"},
        {"nested", "<answer>" + span + "</answer>"},
        {"thinking inside", "<answer><think>" + right + "</think></answer>"},
        {"the prompt", p.prompt},
        {"the prompt as an answer", "<answer>" + p.prompt + "</answer>"},
        {"the prompt and an answer in it", p.prompt + "<answer>" + p.prompt + span},
        {"two candidates", "<answer>" + right + " or " + right + "1</answer>"},
        {"two lines", "<answer>" + right + "\n\n" + right + "</answer>"},
        {"nothing", ""},
    };
    for (const auto& [what, completion] : cheats) {
      EXPECT_EQ(verify(p, completion).reward, 0) << what << "\n" << completion;
    }
  }
}

TEST_P(EveryTask, SameSeedSameProblems) {
  Rng a(7), b(7), c(8);
  int differ = 0;
  for (int i = 0; i < 20; ++i) {
    const Problem p = task_->sample(a, Split::kTrain), q = task_->sample(b, Split::kTrain);
    EXPECT_EQ(p.prompt, q.prompt);
    EXPECT_EQ(p.answer, q.answer);
    EXPECT_EQ(p.key, q.key);
    EXPECT_EQ(p.data, q.data);
    differ += task_->sample(c, Split::kTrain).prompt != p.prompt ? 1 : 0;
  }
  EXPECT_GT(differ, 10);
}

TEST_P(EveryTask, SplitsNeverMeet) {
  Rng rng(4);
  std::set<std::string> keys[2], prompts[2];
  for (int i = 0; i < 2000; ++i) {
    for (const Split split : {Split::kTrain, Split::kTest}) {
      const Problem p = task_->sample(rng, split);
      ASSERT_FALSE(p.key.empty());
      ASSERT_EQ(split_of(p.key), split) << p.key;
      keys[split == Split::kTest].insert(p.key);
      prompts[split == Split::kTest].insert(p.prompt);
    }
  }
  for (const std::string& key : keys[1]) EXPECT_FALSE(keys[0].contains(key)) << key;
  for (const std::string& prompt : prompts[1]) EXPECT_FALSE(prompts[0].contains(prompt)) << prompt;
  EXPECT_GT(prompts[0].size(), 1000u);
}

TEST_P(EveryTask, EveryKnobGoesToItsEnds) {
  for (const Knob& knob : task_->knobs()) {
    for (const int64_t value : {knob.min, knob.max}) {
      const auto task = make_task(GetParam(), {{knob.name, value}});
      for (const Knob& set : task->knobs()) {
        if (set.name == knob.name) {
          EXPECT_EQ(set.value, value);
        }
      }
      Rng rng(5);
      for (const Split split : {Split::kTrain, Split::kTest}) {
        SCOPED_TRACE(knob.name + " = " + std::to_string(value));
        try {
          const Problem p = task->sample(rng, split);
          if (!p.answer.empty()) {
            EXPECT_TRUE(verify(p, answered(p.answer)).correct) << p.prompt;
          }
        } catch (const JobError& e) {
          // Fewer than ten problems in all may leave one side empty; only countdown has so few.
          EXPECT_EQ(GetParam(), "countdown") << e.what();
        }
      }
    }
    EXPECT_THROW(make_task(GetParam(), {{knob.name, knob.min - 1}}), InputError);
    EXPECT_THROW(make_task(GetParam(), {{knob.name, knob.max + 1}}), InputError);
  }
  EXPECT_THROW(make_task(GetParam(), {{"no such knob", 1}}), InputError);
}

TEST_P(EveryTask, AnyTextIsGraded) {
  Rng rng(6);
  const std::string alphabet = "0123456789+-*/=()., :;\n[]{}aknigvesx<>\xE2\x88\x92\xC3\x97";
  for (int i = 0; i < 2000; ++i) {
    const Problem p = task_->sample(rng, Split::kTrain);
    std::string text;
    if (i % 2 == 0) {
      const uint64_t size = rng.below(200);
      for (uint64_t k = 0; k < size; ++k) text += static_cast<char>(rng.below(256));
    } else {
      text = reference_answer(p);
      for (uint64_t k = rng.below(4) + 1; k > 0; --k) {
        const size_t at = rng.below(text.size() + 1);
        const char c = alphabet[rng.below(alphabet.size())];
        if (rng.below(3) == 0) {
          text.insert(at, 1, c);
        } else if (at < text.size()) {
          text.replace(at, 1, rng.below(2), c);
        }
      }
    }
    verify(p, text);
    verify(p, answered(text));
  }
}

TEST_P(EveryTask, HugeTextIsGradedAtOnce) {
  Rng rng(6);
  const Problem p = task_->sample(rng, Split::kTrain);
  for (const char* piece : {"1", "(", "-", "=", ",", "1,", "1 ", " ", "x=", " and ", "a:knave,",
                            "<", "<answer>", "<think>", "<answer>1</answer>", "\xFF", "."}) {
    std::string text;
    while (text.size() < 100000) text += piece;
    EXPECT_EQ(verify(p, text).reward, 0) << piece;
    EXPECT_EQ(verify(p, answered(text)).reward, 0) << piece;
  }
}

TEST_P(EveryTask, EvaluationProblemsAreDistinctAndFixedBySeed) {
  const auto problems = evaluation_problems(*task_, Split::kTest, 40, 9);
  ASSERT_EQ(problems.size(), 40u);
  const auto again = evaluation_problems(*task_, Split::kTest, 40, 9);
  std::set<std::string> prompts;
  for (size_t i = 0; i < problems.size(); ++i) {
    EXPECT_TRUE(prompts.insert(problems[i].prompt).second);
    EXPECT_EQ(problems[i].prompt, again[i].prompt);
    EXPECT_EQ(split_of(problems[i].key), Split::kTest);
  }
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

TEST_P(EveryTask, WritesExamplesThatAreRight) {
  const auto t = make_task(GetParam());
  const SolutionOptions options;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed), again(seed);
    const WorkedExample example = t->worked_example(rng, options);
    EXPECT_EQ(t->worked_example(again, options).completion, example.completion);
    EXPECT_FALSE(example.completion.empty());
    EXPECT_NE(example.completion.find("<answer>"), std::string::npos);
    if (t->skills()) continue;  // its traces may give up
    Rng same(seed);
    const Problem p = t->sample(same, Split::kTrain);
    EXPECT_EQ(p.prompt, example.prompt);
    EXPECT_TRUE(t->verify(p, example.completion).correct) << example.completion;
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryTask, testing::ValuesIn(task_names()), test_name);

TEST(Registry, NamesTheNearestTaskOrKnob) {
  auto message = [](const std::string& name, const std::map<std::string, int64_t>& knobs) {
    try {
      make_task(name, knobs);
    } catch (const InputError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message("countdwn", {}).find("did you mean \"countdown\"?"), std::string::npos);
  EXPECT_NE(message("sorting", {{"cout", 3}}).find("did you mean \"count\"?"), std::string::npos);
  const std::string range = message("sorting", {{"count", 51}});
  EXPECT_NE(range.find("'count' must be from 2 to 50, not 51"), std::string::npos) << range;
}

TEST(Split, OneKeyInSixIsHeldOut) {
  int held_out = 0;
  for (int i = 0; i < 6000; ++i) held_out += split_of(std::to_string(i)) == Split::kTest ? 1 : 0;
  EXPECT_NEAR(held_out, 1000, 100);
}

TEST(Split, KnobsThatLeaveOneEmptyAreAJobError) {
  // Three multisets of two numbers, none of them held out.
  const auto task = make_task("countdown", {{"count", 2}, {"max_number", 2}, {"min_target", 1}});
  Rng rng(1);
  EXPECT_NO_THROW(task->sample(rng, Split::kTrain));
  EXPECT_THROW(task->sample(rng, Split::kTest), JobError);
  const auto none = make_task("countdown", {{"min_target", 99}, {"max_target", 10}});
  EXPECT_THROW(none->sample(rng, Split::kTrain), JobError);
  EXPECT_TRUE(none->all(Split::kTrain).empty());
}

TEST(CommittedAnswer, IsTheOnlySpanOutsideOfThinking) {
  EXPECT_EQ(committed_answer("<answer>5</answer>").text, "5");
  EXPECT_EQ(committed_answer("<think>a</think> so <answer> 5 </answer>.").text, " 5 ");
  // Thinking aloud about the format is no second answer.
  EXPECT_EQ(committed_answer("<think>in <answer> tags</think><answer>5</answer>").text, "5");
  EXPECT_TRUE(committed_answer("<answer></answer>").found);
  EXPECT_EQ(committed_answer("5").reason, "no answer");
  EXPECT_EQ(committed_answer("<answer>5</answer><answer>5</answer>").reason, "several answers");
  EXPECT_EQ(committed_answer("<think><answer>5</answer></think>").reason, "answer inside thinking");
  EXPECT_EQ(committed_answer("<answer>5").reason, "malformed answer");
}

TEST(CommittedAnswer, KnowsThinkingThatThePromptOpened) {
  EXPECT_EQ(committed_answer("Well.</think>\n<answer>5</answer>").text, "5");
  EXPECT_EQ(committed_answer("maybe <answer>4</answer></think><answer>5</answer>").text, "5");
  EXPECT_EQ(committed_answer("<answer>5</answer></think>").reason, "answer inside thinking");
  EXPECT_FALSE(committed_answer("a</think></think><answer>5</answer>").found);
}

TEST(SolutionOptions, AreReadAndWrittenAsAConfig) {
  SolutionOptions options;
  EXPECT_EQ(options.get<double>("give_up"), 0.5);
  EXPECT_EQ(options.get<int64_t>("max_attempts"), 24);
  read_config(parse_toml("give_up = 0.03\nmax_attempts = 8\n", "t.toml"), options);
  EXPECT_EQ(options.get<double>("give_up"), 0.03);
  EXPECT_EQ(options.get<int64_t>("max_attempts"), 8);
  EXPECT_EQ(error_of([&] { read_config(parse_toml("give_upp = 1", "t.toml"), options); }),
            "t.toml:1: unknown key \"give_upp\", did you mean \"give_up\"?");
  EXPECT_EQ(error_of([&] { read_config(parse_toml("drill = 2", "t.toml"), options); }),
            "t.toml:1: drill: expected a number from 0 to 1, found 2");
}

// A verifier may give shares of a reward: what is right is its own fact.
TEST(Verdict, IsCorrectWhateverItsReward) {
  EXPECT_TRUE(Verdict::right().correct);
  EXPECT_FALSE(Verdict::wrong().correct);
  const Verdict generous{1.5, "wrong but close", true};
  EXPECT_FALSE(generous.correct);
}

}  // namespace
}  // namespace r1
