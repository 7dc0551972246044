#include "tasks/math_tree.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

namespace r1 {
namespace {

using Kind = MathTokenKind;
using Maybe = std::optional<MathNode>;

MathNode node(MathKind kind, std::string text, std::vector<MathNode> args = {}) {
  return {kind, std::move(text), std::move(args)};
}
MathNode number(std::string text) {
  return node(MathKind::kNumber, std::move(text));
}

bool is_integer(const MathToken& t) {
  return t.kind == Kind::kNumber && t.text.find_first_not_of("0123456789") == std::string::npos;
}

std::string name_text(std::span<const MathToken> tokens) {
  return normal_text(std::vector<MathToken>(tokens.begin(), tokens.end()));
}

// Recursive descent, one method a level of precedence. Nothing means a syntax error, and then the
// parse is over. So each token is read once, but for two short looks ahead.
class Parser {
 public:
  explicit Parser(std::span<const MathToken> tokens) : tokens_(tokens) {}

  Maybe parse() {
    while (take("~") || (next_is_kind(Kind::kWord) && is_about(peek()->text))) {
      if (next_is_kind(Kind::kWord)) ++at_;
    }
    Maybe out = choice();
    if (out && at_ < tokens_.size()) out.reset();
    return out;
  }

 private:
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

  // solutions (":" the same in another notation)*
  Maybe choice() {
    Maybe first = list();
    if (!first || !next_is(":")) return first;
    MathNode out = node(MathKind::kChoice, "", {*std::move(first)});
    while (take(":")) {
      Maybe more = list();
      if (!more) return {};
      out.args.push_back(*std::move(more));
    }
    return out;
  }

  // element ((","|";"|"and"|"or") element)*
  Maybe list() {
    if (++depth_ > kMaxMathDepth) return {};
    Maybe first = element();
    if (!first) return {};
    std::vector<MathNode> items;
    items.push_back(*std::move(first));
    while (separator()) {
      Maybe more = element();
      if (!more) return {};
      items.push_back(*std::move(more));
    }
    --depth_;
    if (items.size() == 1) return std::move(items[0]);
    return node(MathKind::kList, "", std::move(items));
  }

  bool separator() {
    bool any = false;
    while (take(",") || take(";") || take("and") || take("or")) any = true;
    return any;
  }

  // relation ("U" relation)*
  Maybe element() {
    Maybe first = relation();
    if (!first || !next_is("U")) return first;
    MathNode out = node(MathKind::kUnion, "", {*std::move(first)});
    while (take("U")) {
      Maybe more = relation();
      if (!more) return {};
      out.args.push_back(*std::move(more));
    }
    return out;
  }

  static bool is_about(const std::string& word) {
    return word == "about" || word == "About" || word == "approximately";
  }

  char relation_sign() {
    static constexpr std::pair<std::string_view, char> kSigns[] = {
        {"=", '='}, {"==", '='}, {"~", '~'},  {"<", '<'}, {"<=", 'l'},
        {">", '>'}, {">=", 'g'}, {"!=", '!'}, {"in", 'e'}};
    for (const auto& [op, sign] : kSigns) {
      if (take(op)) return sign;
    }
    return '\0';
  }

  Maybe relation() {
    Maybe left = name();
    if (!left) left = quantity();
    if (!left) return {};
    MathNode out = node(MathKind::kRelation, "", {*std::move(left)});
    while (const char sign = relation_sign()) {
      Maybe right = quantity();
      if (!right) return {};
      out.text += sign;
      out.args.push_back(*std::move(right));
    }
    return out.text.empty() ? std::move(out.args[0]) : std::move(out);
  }

  // The left side of a definition where it is more than a variable: f(x), f^{-1}(x), y', P(X = 2).
  Maybe name() {
    if (!next_is_kind(Kind::kSymbol) && !next_is_kind(Kind::kWord)) return {};
    size_t end = at_ + 1;
    auto is_at = [&](size_t i, std::string_view op) {
      return i < tokens_.size() && tokens_[i].is(op);
    };
    // The end of a group that opens at `i`.
    auto group_end = [&](size_t i, std::string_view open, std::string_view close) {
      int level = 0;
      for (const size_t stop = std::min(tokens_.size(), i + 12); i < stop; ++i) {
        if (tokens_[i].is(open)) ++level;
        if (tokens_[i].is(close) && --level == 0) return i + 1;
      }
      return size_t{0};
    };
    while (is_at(end, "_") || is_at(end, "^")) {
      const size_t next = is_at(end + 1, "{") ? group_end(end + 1, "{", "}") : end + 2;
      if (next == 0) return {};
      end = next;
    }
    while (is_at(end, "'")) ++end;
    if (is_at(end, "(")) end = group_end(end, "(", ")");
    if (end <= at_ + 1 || end >= tokens_.size()) return {};
    if (!tokens_[end].is("=") && !tokens_[end].is("~")) return {};
    // x^2 = 3 is an equation, no definition; x_1 = 3 is one.
    const bool power = is_at(at_ + 1, "^") && !is_at(end - 1, ")");
    if (power) return {};
    MathNode out = node(MathKind::kName, name_text(tokens_.subspan(at_, end - at_)));
    at_ = end;
    return out;
  }

  // ["$"] sum [unit]
  Maybe quantity() {
    if (next_is_kind(Kind::kWord) && !is_variable(*peek())) return words();
    const bool dollars = take("$");
    Maybe value = sum();
    if (!value) return {};
    std::string unit = dollars ? "$" : "";
    take("$");
    for (std::string part; !(part = unit_part()).empty();) unit += (unit.empty() || part[0] == '/' ? "" : " ") + part;
    if (unit.empty()) return value;
    return node(MathKind::kQuantity, std::move(unit), {*std::move(value)});
  }

  // A word that may stand for a product of variables: \mathrm{gb}.
  static bool is_variable(const MathToken& t) {
    return t.roman && t.text.size() <= 2 && known_unit(t.text).empty();
  }

  // One word of a unit, with its power and what it is divided by; empty where none follows.
  std::string unit_part() {
    if (take("%")) return "%";
    if (take("deg")) return "deg";
    const bool after_unit = at_ > 0 && is_unit_token(tokens_[at_ - 1]);
    const bool per = next_is("/") && peek(1) != nullptr &&
                     (is_unit_token(*peek(1)) || (after_unit && next_is_kind(Kind::kSymbol, 1)));
    const bool times = next_is("*") && peek(1) != nullptr && is_unit_token(*peek(1));
    if (per || times) ++at_;
    const bool in_words = after_unit && next_is_kind(Kind::kWord) && peek()->text == "per";
    if (in_words) ++at_;
    const bool letter = per && next_is_kind(Kind::kSymbol);  // miles/s
    if (peek() == nullptr || !(letter || is_unit_token(*peek()))) return "";
    const std::string& word = tokens_[at_].text;
    ++at_;
    const std::string_view known = known_unit(word);
    std::string out = (per || in_words ? "/" : "") + (known.empty() ? word : std::string(known));
    if (next_is("^")) {
      const bool braces = next_is("{", 1);
      if (next_is_kind(Kind::kNumber, braces ? 2 : 1) && (!braces || next_is("}", 3))) {
        out += peek(braces ? 2 : 1)->text;
        at_ += braces ? 4 : 2;
      }
    }
    return out;
  }
  static bool is_unit_token(const MathToken& t) {
    return t.kind == Kind::kWord || (t.kind == Kind::kSymbol && t.roman);
  }

  // Prose up to a separator.
  Maybe words() {
    const size_t begin = at_;
    while (next_is_kind(Kind::kWord) || next_is_kind(Kind::kSymbol) || next_is("-")) ++at_;
    const std::string text = name_text(tokens_.subspan(begin, at_ - begin));
    if (text == "all real numbers" || text == "real numbers" || text == "all reals") {
      return node(MathKind::kSymbol, "RR");
    }
    if (text == "no solution" || text == "no solutions" || text == "none" || text == "empty set") {
      return node(MathKind::kSymbol, "empty");
    }
    return node(MathKind::kWords, text);
  }

  // product (("+"|"-"|"+-"|"-+") product)*
  Maybe sum() {
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

  static MathNode signed_term(const std::string& op, MathNode term) {
    return op == "-" ? node(MathKind::kNegate, "", {std::move(term)})
                     : node(MathKind::kPlusMinus, op, {std::move(term)});
  }

  // factor (("*"|"/"|) factor)*
  Maybe product() {
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

  bool known_unit_next(size_t ahead) const {
    return next_is_kind(Kind::kWord, ahead) && !is_variable(*peek(ahead));
  }
  bool divides_unit() const { return known_unit_next(1); }

  // Whether a factor follows without a sign between.
  bool juxtaposed() const {
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

  Maybe signed_factor() {
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

  // postfix ["^" exponent]
  Maybe power() {
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

  Maybe postfix() {
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

  Maybe primary() {
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

  // A number, a mixed number (4 \frac{4}{9}, 4 4/9) or a repeating decimal (0.1\overline{6}).
  Maybe literal() {
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

  // A letter with its index and primes.
  Maybe symbol() {
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

  // \mathrm{gb}: g b.
  Maybe variables() {
    if (!is_variable(*peek())) return {};
    std::vector<MathNode> letters;
    for (const char c : tokens_[at_++].text) {
      letters.push_back(node(MathKind::kSymbol, std::string(1, c)));
    }
    return letters.size() == 1 ? std::move(letters[0])
                               : node(MathKind::kMultiply, "", std::move(letters));
  }

  // sin x, sin^2 x, sin^{-1} x, \log_2 x, ln(x): without brackets the argument is a product.
  Maybe function() {
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

  // The argument of a function without brackets: sin 2 \pi t, ln \frac{1}{2}, arctan -1.
  Maybe run_of_factors() {
    const bool negative = take("-");
    Maybe out = power();
    while (out && juxtaposed() && !next_is_kind(Kind::kFunction) && !next_is("(") &&
           !next_is("[")) {
      Maybe more = power();
      if (!more) return {};
      out = node(MathKind::kMultiply, "", {*std::move(out), *std::move(more)});
    }
    if (out && negative) return node(MathKind::kNegate, "", {*std::move(out)});
    return out;
  }

  Maybe bracketed() {
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

  static MathNode close_bracket(const std::string& open, const std::string& close, MathNode items) {
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

  Maybe absolute() {
    ++at_;
    ++bars_;
    Maybe inside = sum();
    --bars_;
    if (!inside || !take("|")) return {};
    return node(MathKind::kFunction, "abs", {*std::move(inside)});
  }

  // An argument in braces, or the one token that follows.
  Maybe argument() {
    if (next_is("{")) return bracketed();
    if (next_is_kind(Kind::kNumber)) return number(tokens_[at_++].text);
    return primary();
  }

  Maybe command() {
    const std::string name = tokens_[at_++].text;
    ++inside_;
    Maybe out = command_of(name);
    --inside_;
    return out;
  }

  Maybe command_of(const std::string& name) {
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

  // Rows of cells: a & b \\ c & d.
  Maybe matrix(const std::string& kind) {
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

  std::span<const MathToken> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int bars_ = 0;    // of absolute values that are open
  int inside_ = 0;  // brackets, arguments: where degrees are no unit
};

}  // namespace

std::optional<MathNode> parse_math(const std::vector<MathToken>& tokens) {
  size_t size = tokens.size();
  while (size > 0 && (tokens[size - 1].is(".") || tokens[size - 1].is(","))) --size;
  if (size == 0 || size > kMaxMathTokens) return {};
  return Parser(std::span(tokens).first(size)).parse();
}

}  // namespace r1
