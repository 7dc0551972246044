// Arithmetic expressions in the usual syntax, evaluated exactly:
//   sum     = product (("+" | "-" | U+2212) product)*
//   product = unary (("*" | "/" | U+00D7 | U+00F7 | U+00B7 | U+22C5) unary)*
//   unary   = ("+" | "-" | U+2212)* (integer | "(" sum ")")
// with white space between tokens. Any text at all may be given: it takes time linear in its
// length, and what is too long or too deep is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tasks/rational.h"

namespace r1 {

inline constexpr size_t kMaxExpressionBytes = 1000;
inline constexpr int kMaxExpressionDepth = 50;  // open parentheses and signs
inline constexpr int kMaxLiteralDigits = 15;

struct Expression {
  std::vector<int64_t> literals;  // as they stand, left to right; never negative
  std::optional<Rational> value;  // nothing: a division by zero, or beyond 64 bits
};

// Nothing where the whole of `text` is not one expression.
std::optional<Expression> parse_expression(std::string_view text);

}  // namespace r1
