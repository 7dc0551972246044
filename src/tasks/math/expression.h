// Expressions from tokens (tasks/math/latex.h), by recursive descent: one method a level of
// precedence. Nothing means a syntax error, and then the parse is over. So each token is read once,
// but for short looks ahead.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/math/latex.h"
#include "tasks/math/tree.h"

namespace r1 {

class ExpressionParser {
 public:
  virtual ~ExpressionParser() = default;

 protected:
  using Kind = MathTokenKind;
  using Maybe = std::optional<MathNode>;

  explicit ExpressionParser(std::span<const MathToken> tokens) : tokens_(tokens) {}

  static std::string name_text(std::span<const MathToken> tokens) {
    return normal_text(std::vector<MathToken>(tokens.begin(), tokens.end()));
  }

  // What brackets hold: solutions side by side, or one expression.
  virtual Maybe list() = 0;

  static MathNode node(MathKind kind, std::string text, std::vector<MathNode> args = {}) {
    return {kind, std::move(text), std::move(args)};
  }
  const MathToken* peek(size_t ahead = 0) const {
    return at_ + ahead < tokens_.size() ? &tokens_[at_ + ahead] : nullptr;
  }
  bool next_is(std::string_view op, size_t ahead = 0) const {
    return peek(ahead) != nullptr && peek(ahead)->is(op);
  }
  bool take(std::string_view op) {
    if (!next_is(op)) return false;
    ++at_;
    return true;
  }
  bool next_is_kind(Kind kind, size_t ahead = 0) const {
    return peek(ahead) != nullptr && peek(ahead)->kind == kind;
  }

  // A word that may stand for a product of variables: \mathrm{gb}.
  static bool is_variable(const MathToken& t) {
    return t.roman && t.text.size() <= 2 && known_unit(t.text).empty();
  }

  // product (("+"|"-"|"+-"|"-+") product)*
  Maybe sum();

  std::span<const MathToken> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int bars_ = 0;    // of absolute values that are open
  int inside_ = 0;  // brackets, arguments: where degrees are no unit

 private:
  static MathNode signed_term(const std::string& op, MathNode term);
  // factor (("*"|"/"|) factor)*
  Maybe product();
  bool known_unit_next(size_t ahead) const;
  bool divides_unit() const { return known_unit_next(1); }
  // Whether a factor follows without a sign between.
  bool juxtaposed() const;
  Maybe signed_factor();
  // postfix ["^" exponent]
  Maybe power();
  Maybe postfix();
  Maybe primary();
  // A number, a mixed number (4 \frac{4}{9}, 4 4/9) or a repeating decimal (0.1\overline{6}).
  Maybe literal();
  // A letter with its index and primes.
  Maybe symbol();
  // \mathrm{gb}: g b.
  Maybe variables();
  // sin x, sin^2 x, sin^{-1} x, \log_2 x, ln(x): without brackets the argument is a product.
  Maybe function();
  // The argument of a function without brackets: sin 2 \pi t, ln \frac{1}{2}, arctan -1.
  Maybe run_of_factors();
  Maybe bracketed();
  static MathNode close_bracket(const std::string& open, const std::string& close, MathNode items);
  Maybe absolute();
  // An argument in braces, or the one token that follows.
  Maybe argument();
  Maybe command();
  Maybe command_of(const std::string& name);
  // Rows of cells: a & b \\ c & d.
  Maybe matrix(const std::string& kind);
};

}  // namespace r1
