// How good a model is at a task: pass@k and majority vote by the compute they cost.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/json.h"
#include "rl/rollout.h"
#include "rl/statistics.h"

namespace r1 {

// With k completions of each problem.
struct EvaluationAtK {
  int64_t k = 1;
  Interval pass;      // one of them is right
  Interval majority;  // the answer that most of them give is right (maj@k; of the first k)
  double tokens = 0;  // sampled per problem, on average
};

struct Evaluation {
  int64_t problems = 0, samples = 0;
  Interval accuracy;                // pass@1
  std::vector<EvaluationAtK> at_k;  // k = 1, 2, 4, ... samples
  double completion_length = 0;     // tokens
  int64_t unparseable = 0, truncated = 0, tokens_sampled = 0;
  int64_t thinking_tokens = 0;  // counted under a thinking budget alone
};

// Every group must have the same number of completions, at least one. Intervals are Wilson's where
// each problem is all right or all wrong (with one completion they are), else bootstrapped over the
// problems.
Evaluation evaluate_groups(std::span<const RolloutGroup> groups);

OrderedJson evaluation_json(const Evaluation& evaluation);

}  // namespace r1
