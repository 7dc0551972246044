// Whether a given final answer is the expected one, as mathematics (docs/verifiers.md has the
// rules).
#pragma once

#include <string_view>

#include "tasks/math/tree.h"

namespace r1 {

enum class AnswerMatch {
  kSame,
  kDifferent,
  kUnevaluated,  // equal, but a number was asked for and arithmetic was left to do
  kUnparseable,  // the expected answer is mathematics and the given one is not
};

// Longer answers are equal as bytes or not at all.
inline constexpr size_t kMaxAnswerText = 4000;

// Not symmetric: `expected` is trusted, `given` is not. "3 or 4" is no way to answer 3. Any bytes
// at all may be given; time is bounded (about 20 ms).
AnswerMatch match_answers(std::string_view expected, std::string_view given);

// Whether it is one number as people write it, with no arithmetic left: -3, 1/2, 1 1/2, 2.5e3,
// 1.2 \times 10^5. Fractions only if `fractions`.
bool is_literal(const MathNode& n, bool fractions);

}  // namespace r1
