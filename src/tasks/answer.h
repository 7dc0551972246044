// How the built-in tasks grade a committed answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tasks/rational.h"
#include "tasks/task.h"

namespace r1 {

inline constexpr size_t kMaxAnswerBytes = 1000;

// The verdict on the completion's committed answer. `check` gets it without the white space around
// it, never empty nor over kMaxAnswerBytes: whether it is right; nothing where it is no answer of
// the task's form at all.
Verdict grade(std::string_view completion,
              const std::function<std::optional<bool>(std::string_view)>& check);

// The number that an answer states: "408", "x = -7/3", "12 * 34 = 408". All sides of an equation
// must agree (the first may be a variable), so that one answer states one number.
std::optional<Rational> stated_number(std::string_view answer);

// For the tasks whose data has the right number as 'answer': 408, "-7/3", "2.5". InputError if it
// has none.
Verdict verify_number(std::string_view task, const Problem& problem, std::string_view completion);

// Nothing where it is not an integer of 64 bits.
std::optional<int64_t> json_integer(const Json& value);

}  // namespace r1
