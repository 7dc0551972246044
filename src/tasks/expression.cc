#include "tasks/expression.h"

#include <array>
#include <utility>

namespace r1 {
namespace {

using Value = std::optional<Rational>;

struct Symbol {
  std::string_view spelling;
  char meaning;
};

constexpr std::array<Symbol, 11> kSymbols = {{{"+", '+'},
                                              {"-", '-'},
                                              {"\xE2\x88\x92", '-'},
                                              {"*", '*'},
                                              {"\xC3\x97", '*'},
                                              {"\xC2\xB7", '*'},
                                              {"\xE2\x8B\x85", '*'},
                                              {"/", '/'},
                                              {"\xC3\xB7", '/'},
                                              {"(", '('},
                                              {")", ')'}}};

Value apply(char op, const Value& a, const Value& b) {
  if (!a || !b) return std::nullopt;
  switch (op) {
    case '+':
      return add(*a, *b);
    case '-':
      return subtract(*a, *b);
    case '*':
      return multiply(*a, *b);
    default:
      return divide(*a, *b);
  }
}

// Recursive descent. Each method returns false on a syntax error, and then the parse is over.
class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  bool parse(Expression& out) {
    if (!sum(out.value)) return false;
    out.literals = std::move(literals_);
    skip_space();
    return rest_.empty();
  }

 private:
  void skip_space() {
    const size_t first = rest_.find_first_not_of(" \t\r\n\f\v");
    rest_.remove_prefix(first == std::string_view::npos ? rest_.size() : first);
  }

  // The symbol that comes next, not yet taken; null where there is none.
  const Symbol* peek() {
    skip_space();
    for (const Symbol& symbol : kSymbols) {
      if (rest_.starts_with(symbol.spelling)) return &symbol;
    }
    return nullptr;
  }

  // Takes the next symbol if it means `a` or `b`.
  char take(char a, char b) {
    const Symbol* symbol = peek();
    if (symbol == nullptr || (symbol->meaning != a && symbol->meaning != b)) return 0;
    rest_.remove_prefix(symbol->spelling.size());
    return symbol->meaning;
  }

  bool sum(Value& out) {
    if (!product(out)) return false;
    while (const char op = take('+', '-')) {
      Value right;
      if (!product(right)) return false;
      out = apply(op, out, right);
    }
    return true;
  }

  bool product(Value& out) {
    if (!unary(out)) return false;
    while (const char op = take('*', '/')) {
      Value right;
      if (!unary(right)) return false;
      out = apply(op, out, right);
    }
    return true;
  }

  bool unary(Value& out) {
    if (++depth_ > kMaxExpressionDepth) return false;
    bool ok;
    if (const char sign = take('+', '-')) {
      ok = unary(out);
      if (ok && out && sign == '-') out = negate(*out);
    } else if (take('(', '(')) {
      ok = sum(out) && take(')', ')');
    } else {
      ok = literal(out);
    }
    --depth_;
    return ok;
  }

  bool literal(Value& out) {
    skip_space();
    int64_t value = 0;
    int digits = 0;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
      if (++digits > kMaxLiteralDigits) return false;
      value = value * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
    }
    if (digits == 0) return false;
    literals_.push_back(value);
    out = Rational(value);
    return true;
  }

  std::string_view rest_;
  int depth_ = 0;
  std::vector<int64_t> literals_;
};

}  // namespace

std::optional<Expression> parse_expression(std::string_view text) {
  if (text.size() > kMaxExpressionBytes) return std::nullopt;
  Expression result;
  if (!Parser(text).parse(result)) return std::nullopt;
  return result;
}

}  // namespace r1
