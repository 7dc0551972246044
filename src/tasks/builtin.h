// The built-in tasks; task.cc's table lists them. Each reads its knobs' values by name; InputError
// for a knob that it lacks or a value out of range. Countdown stands in countdown.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "tasks/task.h"

namespace r1 {

// Add, subtract and multiply, one step after another.
std::unique_ptr<Task> make_chain_arithmetic(const std::map<std::string, int64_t>& knobs);
// The product of two numbers.
std::unique_ptr<Task> make_multiplication(const std::map<std::string, int64_t>& knobs);
// The next term of an arithmetic, geometric, quadratic or Fibonacci-like sequence.
std::unique_ptr<Task> make_number_sequence(const std::map<std::string, int64_t>& knobs);
// Who lies? (Smullyan, "What Is the Name of This Book?", 1978)
std::unique_ptr<Task> make_knights_knaves(const std::map<std::string, int64_t>& knobs);
// Sudoku with rows, columns and blocks of four.
std::unique_ptr<Task> make_sudoku4(const std::map<std::string, int64_t>& knobs);
// Numbers into ascending or descending order.
std::unique_ptr<Task> make_sorting(const std::map<std::string, int64_t>& knobs);
// a x + b = c x + d.
std::unique_ptr<Task> make_linear_equation(const std::map<std::string, int64_t>& knobs);

}  // namespace r1
