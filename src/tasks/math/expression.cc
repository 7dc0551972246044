#include "tasks/math/expression.h"

#include <utility>

namespace r1 {
namespace {

MathNode number(std::string text) {
  return {MathKind::kNumber, std::move(text), {}};
}

bool is_integer(const MathToken& t) {
  return t.kind == MathTokenKind::kNumber &&
         t.text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

ExpressionParser::Maybe ExpressionParser::sum() {
  if (++depth_ > kMaxMathDepth) return {};
  Maybe first = product();
  if (!first) return {};
  std::vector<MathNode> terms;
  terms.push_back(*std::move(first));
  while (next_is("+") || next_is("-") || next_is("+-") || next_is("-+")) {
    const std::string op = tokens_[at_++].text;
    Maybe term = product();
    if (!term) return {};
    terms.push_back(op == "+" ? *std::move(term) : signed_term(op, *std::move(term)));
  }
  --depth_;
  if (terms.size() == 1) return std::move(terms[0]);
  return node(MathKind::kAdd, "", std::move(terms));
}

MathNode ExpressionParser::signed_term(const std::string& op, MathNode term) {
  return op == "-" ? node(MathKind::kNegate, "", {std::move(term)})
                   : node(MathKind::kPlusMinus, op, {std::move(term)});
}

ExpressionParser::Maybe ExpressionParser::product() {
  Maybe left = signed_factor();
  while (left) {
    const bool divide = next_is("/") && !divides_unit();
    const bool times = next_is("*") && !(peek(1) != nullptr && known_unit_next(1));
    if (!divide && !times && !juxtaposed()) return left;
    if (divide || times) ++at_;
    Maybe right = divide || times ? signed_factor() : power();
    if (!right) return {};
    if (divide) {
      left = node(MathKind::kDivide, "", {*std::move(left), *std::move(right)});
    } else if (left->kind == MathKind::kMultiply) {
      left->args.push_back(*std::move(right));
    } else {
      left = node(MathKind::kMultiply, "", {*std::move(left), *std::move(right)});
    }
  }
  return {};
}

bool ExpressionParser::known_unit_next(size_t ahead) const {
  return next_is_kind(Kind::kWord, ahead) && !is_variable(*peek(ahead));
}

bool ExpressionParser::juxtaposed() const {
  const MathToken* t = peek();
  if (t == nullptr) return false;
  switch (t->kind) {
    case Kind::kNumber:
      return t->space && at_ > 0 && !tokens_[at_ - 1].is("-") &&
             tokens_[at_ - 1].kind != Kind::kNumber;
    case Kind::kSymbol:
      // \mathrm{~N} after a number is a unit.
      return !(t->roman && at_ > 0 && tokens_[at_ - 1].kind == Kind::kNumber);
    case Kind::kFunction:
      return true;
    case Kind::kWord:
      return is_variable(*t) && !(at_ > 0 && tokens_[at_ - 1].kind == Kind::kNumber);
    case Kind::kOperator:
      return t->text == "(" || t->text == "{" || t->text == "[" || (t->text == "|" && bars_ == 0);
    case Kind::kCommand:
      return !t->text.starts_with("end:");
  }
  return false;
}

ExpressionParser::Maybe ExpressionParser::signed_factor() {
  if (++depth_ > kMaxMathDepth) return {};
  Maybe out;
  if (take("+")) {
    out = signed_factor();
  } else if (next_is("-") || next_is("+-") || next_is("-+")) {
    const std::string op = tokens_[at_++].text;
    out = signed_factor();
    if (out) out = signed_term(op, *std::move(out));
  } else {
    out = power();
  }
  --depth_;
  return out;
}

ExpressionParser::Maybe ExpressionParser::power() {
  Maybe base = postfix();
  if (!base || !next_is("^")) return base;
  if (++depth_ > kMaxMathDepth) return {};
  ++at_;
  Maybe exponent;
  if (next_is("{")) {
    exponent = primary();
  } else if (take("-")) {
    exponent = power();
    if (exponent) exponent = node(MathKind::kNegate, "", {*std::move(exponent)});
  } else {
    exponent = power();
  }
  if (!exponent) return {};
  --depth_;
  return node(MathKind::kPower, "", {*std::move(base), *std::move(exponent)});
}

ExpressionParser::Maybe ExpressionParser::postfix() {
  Maybe out = primary();
  while (out && next_is("!")) {
    ++at_;
    out = node(MathKind::kFunction, "factorial", {*std::move(out)});
  }
  // Within an expression degrees are a factor; at its end they are the unit.
  if (out && next_is("deg") && inside_ > 0) {
    ++at_;
    out = node(MathKind::kFunction, "deg", {*std::move(out)});
  }
  return out;
}

ExpressionParser::Maybe ExpressionParser::primary() {
  const MathToken* t = peek();
  if (t == nullptr || ++depth_ > kMaxMathDepth) return {};
  Maybe out;
  switch (t->kind) {
    case Kind::kNumber:
      out = literal();
      break;
    case Kind::kSymbol:
      out = symbol();
      break;
    case Kind::kWord:
      out = variables();
      break;
    case Kind::kFunction:
      out = function();
      break;
    case Kind::kOperator:
      out = bracketed();
      break;
    case Kind::kCommand:
      out = command();
      break;
  }
  --depth_;
  return out;
}

ExpressionParser::Maybe ExpressionParser::literal() {
  const MathToken& t = tokens_[at_++];
  if (peek() != nullptr && peek()->is_command("overline") && next_is("{", 1) && peek(2) &&
      is_integer(*peek(2)) && next_is("}", 3) && t.text.find('.') != std::string::npos) {
    const std::string period = peek(2)->text;
    at_ += 4;
    return number(t.text + "(" + period + ")");
  }
  if (!is_integer(t)) return number(t.text);
  auto integer = [&](size_t ahead) { return peek(ahead) != nullptr && is_integer(*peek(ahead)); };
  size_t top = 0, bottom = 0, length = 0;
  if (peek() != nullptr && peek()->is_command("frac")) {
    const bool braces = next_is("{", 1);
    top = braces ? 2 : 1;
    bottom = braces ? 5 : 2;
    length = braces ? 7 : 3;
    if (braces && !(next_is("}", 3) && next_is("{", 4) && next_is("}", 6))) length = 0;
  } else if (integer(0) && peek()->space && next_is("/", 1)) {
    top = 0, bottom = 2, length = 3;
  }
  if (length == 0 || !integer(top) || !integer(bottom)) return number(t.text);
  MathNode fraction =
      node(MathKind::kDivide, "", {number(peek(top)->text), number(peek(bottom)->text)});
  at_ += length;
  return node(MathKind::kAdd, "mixed", {number(t.text), std::move(fraction)});
}

ExpressionParser::Maybe ExpressionParser::symbol() {
  std::string name = tokens_[at_++].text;
  if (take("_")) {
    const size_t begin = at_;
    if (take("{")) {
      while (peek() != nullptr && !next_is("}")) ++at_;
      if (!take("}")) return {};
    } else if (peek() != nullptr) {
      ++at_;
    }
    std::string index = name_text(tokens_.subspan(begin, at_ - begin));
    std::erase_if(index, [](char c) { return c == '{' || c == '}'; });
    name += "_" + index;
  }
  while (take("'")) name += "'";
  return node(MathKind::kSymbol, std::move(name));
}

ExpressionParser::Maybe ExpressionParser::variables() {
  if (!is_variable(*peek())) return {};
  std::vector<MathNode> letters;
  for (const char c : tokens_[at_++].text) {
    letters.push_back(node(MathKind::kSymbol, std::string(1, c)));
  }
  return letters.size() == 1 ? std::move(letters[0])
                             : node(MathKind::kMultiply, "", std::move(letters));
}

ExpressionParser::Maybe ExpressionParser::function() {
  std::string name = tokens_[at_++].text;
  Maybe base, exponent;
  if (take("_")) {
    base = next_is("{") ? bracketed() : postfix();
    if (!base) return {};
  }
  if (take("^")) {
    exponent = next_is("{") ? bracketed() : postfix();
    if (!exponent) return {};
  }
  ++inside_;
  Maybe argument = next_is("(") || next_is("[") || next_is("{") ? bracketed() : run_of_factors();
  --inside_;
  if (!argument) return {};
  const MathNode minus_one = node(MathKind::kNegate, "", {number("1")});
  if (exponent && *exponent == minus_one && name.size() == 3 && name != "log" && name != "exp") {
    name = "arc" + name;
    exponent.reset();
  }
  std::vector<MathNode> args;
  if (name == "log")
    args.push_back(base ? *std::move(base) : number("10"));
  else if (base)
    return {};
  args.push_back(*std::move(argument));
  MathNode out = node(MathKind::kFunction, name, std::move(args));
  if (!exponent) return out;
  return node(MathKind::kPower, "", {std::move(out), *std::move(exponent)});
}

ExpressionParser::Maybe ExpressionParser::run_of_factors() {
  const bool negative = take("-");
  Maybe out = power();
  while (out && juxtaposed() && !next_is_kind(Kind::kFunction) && !next_is("(") && !next_is("[")) {
    Maybe more = power();
    if (!more) return {};
    out = node(MathKind::kMultiply, "", {*std::move(out), *std::move(more)});
  }
  if (out && negative) return node(MathKind::kNegate, "", {*std::move(out)});
  return out;
}

ExpressionParser::Maybe ExpressionParser::bracketed() {
  const std::string open = tokens_[at_].text;
  if (open == "|") return absolute();
  if (open != "(" && open != "[" && open != "{" && open != "\\{") return {};
  ++at_;
  const bool set = open == "\\{";
  // In a set a bar stands before the condition.
  const int bars = std::exchange(bars_, set ? 1 : 0), inside = inside_;
  if (!set) ++inside_;
  if (set && take("\\}")) return node(MathKind::kSymbol, "empty");
  Maybe items = list();
  if (items && set && take("|")) items = list();  // {x | x > 0} says what its condition says
  bars_ = bars;
  inside_ = inside;
  if (!items || at_ >= tokens_.size()) return {};
  if (set && items->kind == MathKind::kRelation && take("\\}")) return items;
  const std::string close = tokens_[at_].text;
  if (!tokens_[at_].is(close)) return {};
  const bool round = (open == "(" || open == "[") && (close == ")" || close == "]");
  if (!round && close != (open == "{" ? "}" : "\\}")) return {};
  ++at_;
  return close_bracket(open, close, *std::move(items));
}

MathNode ExpressionParser::close_bracket(const std::string& open, const std::string& close,
                                         MathNode items) {
  if (open == "{") return items;
  const bool list = items.kind == MathKind::kList;
  std::vector<MathNode> args;
  if (list)
    args = std::move(items.args);
  else
    args.push_back(std::move(items));
  if (open == "\\{") return node(MathKind::kSet, "", std::move(args));
  const bool same = (open == "(") == (close == ")");
  if (!list && same) return std::move(args[0]);
  return node(MathKind::kTuple, open + close, std::move(args));
}

ExpressionParser::Maybe ExpressionParser::absolute() {
  ++at_;
  ++bars_;
  Maybe inside = sum();
  --bars_;
  if (!inside || !take("|")) return {};
  return node(MathKind::kFunction, "abs", {*std::move(inside)});
}

ExpressionParser::Maybe ExpressionParser::argument() {
  if (next_is("{")) return bracketed();
  if (next_is_kind(Kind::kNumber)) return number(tokens_[at_++].text);
  return primary();
}

ExpressionParser::Maybe ExpressionParser::command() {
  const std::string name = tokens_[at_++].text;
  ++inside_;
  Maybe out = command_of(name);
  --inside_;
  return out;
}

ExpressionParser::Maybe ExpressionParser::command_of(const std::string& name) {
  if (name == "frac" || name == "binom") {
    Maybe top = argument();
    Maybe bottom = top ? argument() : Maybe{};
    if (!bottom) return {};
    const bool fraction = name == "frac";
    return node(fraction ? MathKind::kDivide : MathKind::kFunction, fraction ? "" : "binom",
                {*std::move(top), *std::move(bottom)});
  }
  if (name == "sqrt") {
    MathNode degree = number("2");
    if (take("[")) {
      Maybe given = sum();
      if (!given || !take("]")) return {};
      degree = *std::move(given);
    }
    Maybe inside = next_is("(") ? bracketed() : argument();
    if (!inside) return {};
    return node(MathKind::kFunction, "root", {std::move(degree), *std::move(inside)});
  }
  if (name == "vec" || name == "hat" || name == "bar" || name == "overline" || name == "tilde" ||
      name == "overrightarrow" || name == "widehat") {
    const size_t begin = at_;
    if (!argument()) return {};
    return node(MathKind::kSymbol,
                name + "(" + name_text(tokens_.subspan(begin, at_ - begin)) + ")");
  }
  if (name.starts_with("begin:")) return matrix(name.substr(6));
  return {};
}

ExpressionParser::Maybe ExpressionParser::matrix(const std::string& kind) {
  if (kind.find("matrix") == kind.npos && kind != "array") return {};
  std::vector<MathNode> cells;
  int64_t rows = 1;
  size_t columns = 0, in_row = 0;
  while (true) {
    Maybe cell = sum();
    if (!cell) return {};
    cells.push_back(*std::move(cell));
    ++in_row;
    if (take("&")) continue;
    if (columns != 0 && in_row != columns) return {};
    columns = in_row;
    in_row = 0;
    const bool more = take("\\\\");
    if (peek() != nullptr && peek()->is_command("end:" + kind)) break;
    if (!more) return {};
    ++rows;
  }
  ++at_;
  return node(MathKind::kMatrix, std::to_string(rows), std::move(cells));
}

}  // namespace r1
