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
};

// One problem and its completions.
struct RolloutGroup {
  Problem problem;
  std::vector<int32_t> prompt;
  std::vector<GradedCompletion> completions;
};

struct RolloutOptions {
  SamplingParams sampling;
  int64_t num_generations = 1;
  int64_t max_completion_length = 256;
};

// Completion i of problem p draws from a seed that depends on `seed`, p and i alone. Completions
// end at the model's end-of-sequence ids. `progress` (may be empty) is told after each batch of the
// engine how many completions are done.
std::vector<RolloutGroup> sample_rollouts(Engine& engine, const Tokenizer& tokenizer,
                                          const ModelConfig& config, const Task& task,
                                          std::vector<Problem> problems,
                                          const RolloutOptions& options, uint64_t seed,
                                          const std::function<void(int64_t done)>& progress = {});

}  // namespace r1
