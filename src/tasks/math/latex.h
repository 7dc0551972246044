// Mathematics as models and answer keys write it, LaTeX or plain text, as tokens: spacing, sizes
// and delimiters gone, spellings made one. Any bytes at all may be given; time is linear.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace r1 {

enum class MathTokenKind {
  kNumber,    // "12", "0.5", ".72", "1e-3"
  kSymbol,    // a letter or a named one: "x", "pi", "oo" (infinity), "RR" (the reals), "empty"
  kFunction,  // "sin", "log", "arctan"
  kWord,      // prose and units
  kOperator,  // in one spelling: + - * / ^ _ ! | ( ) [ ] { } \{ \} , ; : ' & \\ % $ deg and or
              // = < > <= >= != ~ == +- -+ U cap in -> ... .
  kCommand,   // what takes arguments: "frac", "sqrt", "binom", "overline", "begin:array", "sum"
};

struct MathToken {
  MathTokenKind kind;
  std::string text;
  bool space = false;  // white space stood before it
  bool roman = false;  // of a word: it stood in \text or \mathrm

  bool is(std::string_view op) const { return kind == MathTokenKind::kOperator && text == op; }
  bool is_command(std::string_view name) const {
    return kind == MathTokenKind::kCommand && text == name;
  }
};

std::vector<MathToken> math_tokens(std::string_view text);

// The tokens as text: equal for answers that differ in spacing, delimiters, case of words and a
// full stop at the end alone.
std::string normal_text(const std::vector<MathToken>& tokens);

// "1,234" as one number, where commas may be thousands separators. Whether there was one.
bool join_thousands(std::vector<MathToken>& tokens);

// A unit of measure in one spelling ("hours" -> "hr"); empty where the word is no unit known here.
std::string_view known_unit(std::string_view word);

}  // namespace r1
