#include "tasks/math/tree.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "tasks/math/expression.h"

namespace r1 {
namespace {

// Answers around expressions: lists, relations, quantities, prose.
class AnswerParser : public ExpressionParser {
 public:
  explicit AnswerParser(std::span<const MathToken> tokens) : ExpressionParser(tokens) {}

  Maybe parse() {
    while (take("~") || (next_is_kind(Kind::kWord) && is_about(peek()->text))) {
      if (next_is_kind(Kind::kWord)) ++at_;
    }
    Maybe out = choice();
    if (out && at_ < tokens_.size()) out.reset();
    return out;
  }

 private:
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
  Maybe list() override {
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
    for (std::string part; !(part = unit_part()).empty();)
      unit += (unit.empty() || part[0] == '/' ? "" : " ") + part;
    if (unit.empty()) return value;
    return node(MathKind::kQuantity, std::move(unit), {*std::move(value)});
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
};

}  // namespace

std::optional<MathNode> parse_math(const std::vector<MathToken>& tokens) {
  size_t size = tokens.size();
  while (size > 0 && (tokens[size - 1].is(".") || tokens[size - 1].is(","))) --size;
  if (size == 0 || size > kMaxMathTokens) return {};
  return AnswerParser(std::span(tokens).first(size)).parse();
}

}  // namespace r1
