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

#include "base/config.h"
#include "tasks/countdown.h"

namespace r1 {

struct TraceOptions {
  double give_up = 0.5, hit = 0.5, systematic = 0.0, drill = 0.0;
  int64_t max_attempts = 24;

  template <class V>
  void visit(V& v) {
    v("give_up", give_up, "probability of giving up after each failed attempt", in_range(0, 1));
    v("hit", hit, "share of traces with a solution among their attempts", in_range(0, 1));
    v("systematic", systematic, "share of traces that try all continuations of a step in a row",
      in_range(0, 1));
    v("max_attempts", max_attempts, "longest trace", at_least(1));
    v("drill", drill, "share of examples that are lists of sums instead of traces", in_range(0, 1));
  }
};

// A completion. Attempts are distinct and in random order. With a hit, one solving attempt is among
// them, and the trace may give up before it gets there; without, none of the attempts solves. After
// "yes", or after giving up, the answer is the last attempt's expression.
std::string countdown_trace(const CountdownProblem& problem, Rng& rng, const TraceOptions& options);

// Sums that steps of attempts may need, one a line: "77 + 12 = 89". Many a sum occurs in the traces
// of one triple of numbers alone; were that one held out, the model would never have seen it.
std::string countdown_drill(Rng& rng);

// How well completions keep the form and the arithmetic of the traces.
class CountdownSkills {
 public:
  void add(const CountdownProblem& problem, std::string_view completion);

  struct Share {
    int64_t right = 0, total = 0;
    double value() const {
      return total == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(total);
    }
    void count(bool ok) {
      right += ok ? 1 : 0;
      ++total;
    }
  };
  Share arithmetic;     // steps whose result is right
  Share legal;          // attempts that use each number once and chain their steps
  Share check_hit;      // of attempts that reach the target as written: the check says yes
  Share check_miss;     // of the others: it says no (the target copied right, in both)
  Share answer_copies;  // of approved attempts: the answer is that attempt
  Share distinct;       // attempts not made before in the same trace
  Share long_traces;    // completions of 8 attempts or more
  int64_t attempts = 0, completions = 0;

  // The shares by name, for printing and for gates.
  std::vector<std::pair<std::string, Share>> shares() const;
};

}  // namespace r1
