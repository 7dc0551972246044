#include "rl/rollout.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>

#include "backend/backend.h"
#include "base/error.h"
#include "text/number_tokenizer.h"
#include "train/testing.h"

namespace r1 {
namespace {

// Grades by a completion's length, says which thread did, and fails on demand.
class LengthTask : public Task {
 public:
  std::string name() const override { return "length"; }
  std::string description() const override { return "graded by length"; }
  std::vector<Knob> knobs() const override { return {}; }
  Problem sample(Rng&, Split) const override { return {"Numbers: 1 2\n", "", "", {}}; }
  Verdict verify(const Problem&, std::string_view completion) const override {
    EXPECT_EQ(++at_once, 1);
    threads.insert(std::this_thread::get_id());
    if (++graded == fail_at) throw std::out_of_range("the verifier's own");
    --at_once;
    return {completion.size() % 2 == 0 ? 1.0 : 0.0, "", true};
  }

  mutable std::atomic<int> at_once = 0, graded = 0;
  mutable std::set<std::thread::id> threads;  // guarded by at_once's being 1
  int fail_at = -1;
};

class RolloutTest : public testing::Test {
 protected:
  std::vector<RolloutGroup> sample(Engine& engine, const Task& task,
                                   const RolloutProgress& progress = {}) {
    RolloutOptions options;
    options.num_generations = 3;
    options.max_completion_length = 20;
    Rng rng(1);
    std::vector<Problem> problems(5, task.sample(rng, Split::kTrain));
    return sample_rollouts(engine, tokenizer_, model_.config(), task, std::move(problems), options,
                           9, progress);
  }

  ThreadPool pool_{1};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
  Tokenizer tokenizer_ = Tokenizer::parse(number_tokenizer_json(), "number tokenizer");
  Model model_ = Model::create(tiny_config(tokenizer_.vocab_size(), "Qwen3ForCausalLM"), 7, *ops_,
                               DType::kF32);
};

TEST_F(RolloutTest, GradesOnOneThreadBesideTheEngine) {
  EngineOptions few;
  few.max_sequences = 4;
  Engine engine(model_, *ops_, few), with_text(model_, *ops_, few, &tokenizer_);
  const LengthTask task;
  std::set<size_t> told;
  int64_t done = 0;
  const auto groups = sample(engine, task,
                             {[&](int64_t completions) { done = completions; },
                              [&](size_t i, const RolloutGroup& group) {
                                EXPECT_EQ(group.completions.size(), 3u);
                                EXPECT_TRUE(told.insert(i).second);
                              }});
  EXPECT_EQ(told.size(), 5u);
  EXPECT_EQ(done, 15);
  EXPECT_EQ(task.threads.size(), 1u);
  EXPECT_FALSE(task.threads.contains(std::this_thread::get_id()));
  const auto again = sample(with_text, task);
  for (size_t i = 0; i < groups.size(); ++i) {
    for (size_t k = 0; k < 3; ++k) {
      const GradedCompletion &a = groups[i].completions[k], &b = again[i].completions[k];
      EXPECT_EQ(a.text, tokenizer_.decode(a.completion.ids, true));
      EXPECT_EQ(a.verdict.reward, a.text.size() % 2 == 0 ? 1.0 : 0.0);
      EXPECT_EQ(a.text, b.text);
      EXPECT_EQ(a.completion.ids, b.completion.ids);
      EXPECT_EQ(a.completion.logprobs, b.completion.logprobs);
    }
  }
}

TEST_F(RolloutTest, WhatAVerifierThrowsSurfacesAndLeavesNothingBehind) {
  EngineOptions few;
  few.max_sequences = 4;
  Engine engine(model_, *ops_, few);
  for (const int at : {1, 4, 15}) {
    LengthTask task;
    task.fail_at = at;
    EXPECT_THROW(sample(engine, task), std::out_of_range);
    EXPECT_FALSE(engine.step());
    EXPECT_EQ(engine.available_pages(), engine.pages());
  }
  const LengthTask task;
  const auto stop = [](int64_t completions) {
    if (completions > 2) throw JobError("interrupted");
  };
  EXPECT_THROW(sample(engine, task, {stop, {}}), JobError);
  EXPECT_FALSE(engine.step());
  EXPECT_EQ(sample(engine, task).size(), 5u);
}

}  // namespace
}  // namespace r1
