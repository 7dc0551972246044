// A final answer as a tree, and the parser that makes it from tokens (tasks/math/latex.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tasks/math/latex.h"

namespace r1 {

enum class MathKind {
  // Scalars.
  kNumber,     // text: "12", ".5", "1e-3", "0.1(6)" (repeating)
  kSymbol,     // text: "x", "c_1", "pi", "e", "i", "oo"
  kAdd,        // args; text "mixed": a mixed number, whole and fraction
  kNegate,     // 1
  kMultiply,   // args
  kDivide,     // 2
  kPower,      // 2
  kFunction,   // text: "sin", "abs", "log" (base first), "factorial", "binom", "root" (degree
               // first), "deg"
  kPlusMinus,  // 1; text "+-" or "-+"
  // What holds scalars.
  kQuantity,  // 1; text: the unit, "%", "$", "deg", "mi/hr"
  kRelation,  // the sides; text: between them, one each of = ~ (about) < l (<=) > g (>=) ! (/=)
              // e (in)
  kName,      // text: the left side of a definition, "f(x)", "f^{-1}(x)", "y'"
  kTuple,     // text: its brackets, "()" "[)" ...; also an interval
  kSet,
  kUnion,
  kList,    // solutions side by side: 1, 2 or 3
  kChoice,  // the same answer in several notations: an inequality : an interval
  kMatrix,  // text: the rows' number; args row by row
  kWords,   // text, normalized
};

struct MathNode {
  MathKind kind = MathKind::kWords;
  std::string text;
  std::vector<MathNode> args;

  bool operator==(const MathNode&) const = default;
};

// Larger answers are no mathematics to this parser: they are compared as text.
inline constexpr size_t kMaxMathTokens = 1000;
inline constexpr int kMaxMathDepth = 40;

// Nothing where the whole is no answer in a form known here. Time is linear in the tokens.
std::optional<MathNode> parse_math(const std::vector<MathToken>& tokens);

}  // namespace r1
