// Countdown: reach the target from the given numbers, each used exactly once, with + - * /.
//
// With the defaults (three numbers from 1 to 12, targets from 10 to 99) there are 3,248 problems.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/task.h"

namespace r1 {

struct CountdownProblem {
  std::vector<int64_t> numbers;  // ascending
  int64_t target = 0;
};

// One way to combine all numbers: steps on two values at a time, the larger one first, every result
// a whole number from 1 to 99. Chains of + alone (or of * alone) that differ in their order are one
// attempt, written from the largest number down.
struct CountdownAttempt {
  std::string steps;       // "8 * 7 = 56, 56 - 3 = 53"
  std::string expression;  // "(8 * 7) - 3"
  std::string first_step;  // "8 * 7 = 56": attempts that begin alike share it
  int64_t value = 0;
};

// What may be done with two values, the larger first: every result a whole number from 1 to 99.
struct CountdownStep {
  char op;
  int64_t result;
};
std::vector<CountdownStep> countdown_steps(int64_t large, int64_t small);

// All attempts, each once, in a fixed order. At most 4 numbers.
std::vector<CountdownAttempt> countdown_attempts(const std::vector<int64_t>& numbers);

std::string countdown_prompt(const CountdownProblem& problem);  // "Numbers: 3 7 8\nTarget: 62\n"
Problem make_countdown_problem(const CountdownProblem& problem);
// From Problem::data; InputError if it is not one of a Countdown problem.
CountdownProblem countdown_problem(const Problem& problem);

std::unique_ptr<Task> make_countdown(const std::map<std::string, int64_t>& knobs);

}  // namespace r1
