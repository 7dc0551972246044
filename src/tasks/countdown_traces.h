// The text that teaches the demo's base model to think about Countdown: attempts, each checked
// against the target, until one hits or the writer gives up.
//
//   <think>
//   8 * 7 = 56, 56 - 3 = 53 vs 62 no
//   8 + 7 = 15, 15 * 3 = 45 vs 62 no
//   ...
//   </think>
//   <answer>(8 * 7) - 3</answer>
//
// The check copies the target beside the attempt's value, so that comparing the two is local. And
// the measurement of how well a model has learnt each part of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tasks/countdown.h"

namespace r1 {

struct TraceOptions {
  double give_up = 0.5;       // probability of giving up after each failed attempt
  double hit = 0.5;           // share of traces with a solution among their attempts
  double systematic = 0.0;    // share that try all continuations of a step in a row
  double drill = 0.0;         // share of examples that are lists of sums instead of traces
  int64_t max_attempts = 24;  // longest trace

  TraceOptions() = default;
  explicit TraceOptions(const SolutionOptions& options);
};
// The same as keys of a recipe.
std::vector<SolutionOption> countdown_solution_options();

// A completion. Attempts are distinct and in random order. With a hit, one solving attempt is among
// them, and the trace may give up before it gets there; without, none of the attempts solves. After
// "yes", or after giving up, the answer is the last attempt's expression.
std::string countdown_trace(const CountdownProblem& problem, Rng& rng, const TraceOptions& options);

// Sums that steps of attempts may need, one a line: "77 + 12 = 89". Many a sum occurs in the traces
// of one triple of numbers alone; were that one held out, the model would never have seen it.
std::string countdown_drill(Rng& rng);

// How well completions keep the form and the arithmetic of the traces.
class CountdownSkills : public Skills {
 public:
  void add(const CountdownProblem& problem, std::string_view completion);
  void add(const Problem& problem, std::string_view completion) override {
    add(countdown_problem(problem), completion);
  }
  SkillShares shares() const override;

  SkillShare arithmetic;     // steps whose result is right
  SkillShare legal;          // attempts that use each number once and chain their steps
  SkillShare check_hit;      // of attempts that reach the target as written: the check says yes
  SkillShare check_miss;     // of the others: it says no (the target copied right, in both)
  SkillShare answer_copies;  // of approved attempts: the answer is that attempt
  SkillShare distinct;       // attempts not made before in the same trace
  SkillShare long_traces;    // completions of 8 attempts or more
  int64_t attempts = 0, completions = 0;
};

}  // namespace r1
