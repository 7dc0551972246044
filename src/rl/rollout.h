// Rollouts: completions of a task's problems, sampled by the engine and graded by the task's
// verifier. Training and evaluation start from the same ones.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tasks/task.h"
#include "text/tokenizer.h"

namespace r1 {

struct GradedCompletion {
  Completion completion;
  std::string text;  // special tokens left out
  Verdict verdict;
  // By rl/reward.h, of training alone: each reward, and their weighted sum.
  std::vector<double> rewards;
  double reward = 0;
  // Which answer it votes for: the index of the group's first completion with the same answer; -1
  // where it gives none, or votes are not counted.
  int64_t vote = -1;
};

// One problem and its completions.
struct RolloutGroup {
  Problem problem;
  std::vector<int32_t> prompt;
  bool thinking_opened = false;  // the prompt ended in <think>
  std::vector<GradedCompletion> completions;
};

// What a model is given of a problem.
struct TaskPrompt {
  std::vector<int32_t> ids;
  bool opens_thinking = false;  // it ends in <think>
};
using PromptFunction = std::function<TaskPrompt(const Problem& problem)>;

struct RolloutOptions {
  SamplingParams sampling;
  int64_t num_generations = 1;
  int64_t max_completion_length = 256;
  int64_t max_context = 0;       // 0: a prompt and its longest completion must fit the engine;
                                 // else completions end where the two together have this length
  ThinkingBudget thinking = {};  // opened_by_prompt is found out
  PromptFunction prompts = {};   // empty: Problem::prompt as it is
  std::vector<int32_t> stop_ids = {};  // empty: the model's end-of-sequence ids
  std::vector<uint64_t> numbers = {};  // the problems' numbers; empty: 0, 1, 2, ...
  bool votes = true;                   // count_votes
};

// What a verifier or a reward sees of a completion's text: thinking that the prompt opened is
// thinking.
std::string graded_text(const RolloutGroup& group, const std::string& text);

// Sets each completion's vote from its text.
void count_votes(const Task& task, RolloutGroup& group);

// How far sampling is. Both may be empty.
struct RolloutProgress {
  // After each batch of the engine: how many completions are done.
  std::function<void(int64_t done)> completions;
  // A problem's completions, after a batch, when all of them are done and graded; in no fixed
  // order.
  std::function<void(size_t problem, const RolloutGroup& group)> group;
};

// The task grades on a thread of its own while the engine goes on, one group at a time; what it
// throws surfaces as itself. Nothing is left in the engine, however it ends.
//
// Completion i of problem p draws from a seed that depends on `seed`, p's number and i alone.
std::vector<RolloutGroup> sample_rollouts(Engine& engine, const Tokenizer& tokenizer,
                                          const ModelConfig& config, const Task& task,
                                          std::vector<Problem> problems,
                                          const RolloutOptions& options, uint64_t seed,
                                          const RolloutProgress& progress = {});

}  // namespace r1
