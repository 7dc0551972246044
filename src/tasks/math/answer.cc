#include "tasks/math/answer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "tasks/math/algebra.h"

namespace r1 {
namespace {

using Kind = MathKind;

constexpr size_t kMaxItems = 64;

MathNode node(Kind kind, std::string text, std::vector<MathNode> args = {}) {
  return {kind, std::move(text), std::move(args)};
}

bool is_variable(const MathNode& n) {
  return n.kind == Kind::kSymbol && n.text != "i" && n.text != "e" && n.text != "pi" &&
         n.text != "oo" && n.text != "RR" && n.text != "empty";
}

// What may stand at the left of a definition: x, f(x), (x, y).
bool is_name(const MathNode& n) {
  return n.kind == Kind::kName || is_variable(n) ||
         (n.kind == Kind::kTuple && std::all_of(n.args.begin(), n.args.end(), is_variable));
}

bool is_equation(const MathNode& n) {
  return n.kind == Kind::kRelation && n.text.find_first_not_of("=~") == std::string::npos;
}

bool has_plus_minus(const MathNode& n) {
  return n.kind == Kind::kPlusMinus || std::any_of(n.args.begin(), n.args.end(), has_plus_minus);
}

// The expression with the upper or the lower of its signs.
MathNode with_sign(const MathNode& n, bool upper) {
  MathNode out = node(n.kind, n.text);
  for (const MathNode& a : n.args) out.args.push_back(with_sign(a, upper));
  if (n.kind != Kind::kPlusMinus) return out;
  if ((n.text == "+-") == upper) return std::move(out.args[0]);
  return node(Kind::kNegate, "", std::move(out.args));
}

// name = value (= value)* taken apart. Of unnamed equations all sides are values.
struct Equation {
  const MathNode* name = nullptr;
  std::vector<const MathNode*> values;
  std::string signs;  // before each value: = or ~
};

Equation equation(const MathNode& n) {
  Equation out;
  size_t first = 0, end = n.args.size();
  if (is_name(n.args[0])) {
    out.name = &n.args[first++];
  } else if (end == 2 && is_name(n.args[1])) {
    out.name = &n.args[--end];
  }
  for (size_t i = first; i < end; ++i) {
    out.values.push_back(&n.args[i]);
    out.signs += i == 0 ? '=' : n.text[i - 1];
  }
  return out;
}

// An inequality in one variable as the interval it says; the variable goes to `variable`.
std::optional<MathNode> interval_of(const MathNode& n, std::string& variable) {
  if (n.kind != Kind::kRelation || n.text.find_first_not_of("<l>g") != std::string::npos) return {};
  const MathNode minus_oo = node(Kind::kNegate, "", {node(Kind::kSymbol, "oo")}),
                 oo = node(Kind::kSymbol, "oo");
  auto closed = [](char sign) { return sign == 'l' || sign == 'g'; };
  auto make = [&](MathNode low, bool low_closed, MathNode high, bool high_closed) {
    return node(Kind::kTuple, std::string(low_closed ? "[" : "(") + (high_closed ? "]" : ")"),
                {std::move(low), std::move(high)});
  };
  const auto& a = n.args;
  const bool less = n.text[0] == '<' || n.text[0] == 'l';
  if (a.size() == 2 && is_variable(a[0])) {
    variable = a[0].text;
    return less ? make(minus_oo, false, a[1], closed(n.text[0]))
                : make(a[1], closed(n.text[0]), oo, false);
  }
  if (a.size() == 2 && is_variable(a[1])) {
    variable = a[1].text;
    return less ? make(a[0], closed(n.text[0]), oo, false)
                : make(minus_oo, false, a[0], closed(n.text[0]));
  }
  if (a.size() != 3 || !is_variable(a[1])) return {};
  if (less != (n.text[1] == '<' || n.text[1] == 'l')) return {};
  variable = a[1].text;
  return less ? make(a[0], closed(n.text[0]), a[2], closed(n.text[1]))
              : make(a[2], closed(n.text[1]), a[0], closed(n.text[0]));
}

class Comparison {
 public:
  bool same(const MathNode& e, const MathNode& g);
  bool unevaluated() const { return unevaluated_; }

 private:
  using Items = std::vector<MathNode>;

  static bool is_collection(const MathNode& n) {
    return n.kind == Kind::kList || n.kind == Kind::kSet || has_plus_minus(n);
  }
  static Items items(const MathNode& n);
  bool same_items(const Items& e, const Items& g, bool ordered);
  bool same_collections(const MathNode& e, const MathNode& g);
  bool same_one(const MathNode& e, const MathNode& g);
  bool same_relations(const MathNode& e, const MathNode& g);
  bool given_equation_is(const MathNode& e, const Equation& g);
  bool expected_equation_is(const MathNode& relation, const MathNode& g);
  bool same_quantities(const MathNode& e, const MathNode& g);
  bool same_scalars(const MathNode& e, const MathNode& g);

  Algebra algebra_;
  bool unevaluated_ = false;
  int64_t comparisons_left_ = 3000;
};

// The solutions one by one. A name goes on to the ones behind it: x = 1, 2.
Comparison::Items Comparison::items(const MathNode& n) {
  Items out;
  if (n.kind == Kind::kList || n.kind == Kind::kSet) {
    const MathNode* name = nullptr;
    for (const MathNode& a : n.args) {
      if (is_equation(a) && equation(a).name == &a.args[0]) {
        name = &a.args[0];
      } else if (a.kind == Kind::kRelation) {
        name = nullptr;
      }
      const bool bare = name != nullptr && a.kind != Kind::kRelation && !is_collection(a);
      for (MathNode& item : items(bare ? node(Kind::kRelation, "=", {*name, a}) : a)) {
        if (out.size() <= kMaxItems) out.push_back(std::move(item));
      }
    }
    return out;
  }
  if (!has_plus_minus(n)) return {n};
  return {with_sign(n, true), with_sign(n, false)};
}

bool Comparison::same_items(const Items& e, const Items& g, bool ordered) {
  if (e.size() != g.size() || e.size() > kMaxItems) return false;
  if (ordered) {
    return std::equal(e.begin(), e.end(), g.begin(),
                      [&](const MathNode& x, const MathNode& y) { return same_one(x, y); });
  }
  std::vector<bool> used(g.size());
  for (size_t i = 0; i < e.size(); ++i) {
    // The one at the same place first: mostly it is that one.
    size_t found = g.size();
    for (size_t k = 0; k < g.size() && found == g.size(); ++k) {
      const size_t j = (i + k) % g.size();
      if (!used[j] && same_one(e[i], g[j])) found = j;
    }
    if (found == g.size()) return false;
    used[found] = true;
  }
  return true;
}

bool Comparison::same_collections(const MathNode& e, const MathNode& g) {
  Items expected = items(e), given = items(g);
  if (e.kind == Kind::kSet || g.kind == Kind::kSet) {
    for (Items* list : {&expected, &given}) {
      for (size_t i = 0; i < list->size(); ++i) {
        for (size_t j = list->size(); --j > i;) {
          if ((*list)[i] == (*list)[j]) list->erase(list->begin() + static_cast<int64_t>(j));
        }
      }
    }
  }
  // Values of different variables have an order when their names are left away.
  auto names = [](const Items& list) {
    std::vector<std::string> out;
    for (const MathNode& n : list) {
      if (!is_equation(n) || equation(n).name == nullptr) continue;
      const std::string& name = equation(n).name->text;
      if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
    }
    return out.size();
  };
  const size_t e_names = names(expected), g_names = names(given);
  return same_items(expected, given,
                    (e_names > 1 && g_names == 0) || (g_names > 1 && e_names == 0));
}

bool Comparison::same(const MathNode& e, const MathNode& g) {
  if (e == g) return true;
  if (--comparisons_left_ < 0) return false;
  if (g.kind == Kind::kChoice) {
    return std::all_of(g.args.begin(), g.args.end(),
                       [&](const MathNode& part) { return same(e, part); });
  }
  if (e.kind == Kind::kChoice) {
    return std::any_of(e.args.begin(), e.args.end(),
                       [&](const MathNode& part) { return same(part, g); });
  }
  if (is_collection(e) || is_collection(g)) return same_collections(e, g);
  return same_one(e, g);
}

bool Comparison::same_one(const MathNode& e, const MathNode& g) {
  if (e == g) return true;
  if (--comparisons_left_ < 0) return false;
  std::string e_variable, g_variable;
  const auto e_interval = interval_of(e, e_variable), g_interval = interval_of(g, g_variable);
  if (e_interval || g_interval) {
    if (e_interval && g_interval && e_variable != g_variable) return false;
    return same(e_interval ? *e_interval : e, g_interval ? *g_interval : g);
  }
  if (e.kind == Kind::kRelation || g.kind == Kind::kRelation) return same_relations(e, g);
  const MathNode reals =
      node(Kind::kTuple, "()",
           {node(Kind::kNegate, "", {node(Kind::kSymbol, "oo")}), node(Kind::kSymbol, "oo")});
  if (e.text == "RR" && g.kind == Kind::kTuple) return same_one(reals, g);
  if (g.text == "RR" && e.kind == Kind::kTuple) return same_one(e, reals);
  if (e.kind == Kind::kUnion || e.kind == Kind::kTuple || e.kind == Kind::kMatrix) {
    // A column or row is also a tuple.
    auto vector = [](const MathNode& n) {
      return n.kind == Kind::kMatrix && (n.text == "1" || n.text == std::to_string(n.args.size()));
    };
    const bool mixed =
        (vector(e) && g.kind == Kind::kTuple) || (vector(g) && e.kind == Kind::kTuple);
    if (!mixed && (e.kind != g.kind || e.text != g.text)) return false;
    if (e.kind == Kind::kUnion) return same_items(e.args, g.args, false);
    return e.args.size() == g.args.size() &&
           std::equal(e.args.begin(), e.args.end(), g.args.begin(),
                      [&](const MathNode& x, const MathNode& y) { return same(x, y); });
  }
  if (e.kind == Kind::kQuantity || g.kind == Kind::kQuantity) return same_quantities(e, g);
  if (is_collection(e) || is_collection(g)) return same_collections(e, g);
  return same_scalars(e, g);
}

// All that a given chain of equations says must be true of the expected value.
bool Comparison::given_equation_is(const MathNode& e, const Equation& g) {
  for (size_t i = 0; i < g.values.size(); ++i) {
    if (i > 0 && g.signs[i] == '~' && algebra_.rounds_to(*g.values[0], *g.values[i])) continue;
    if (!same(e, *g.values[i])) return false;
  }
  return !g.values.empty();
}

// A value is enough where a definition or an evaluation of it is expected.
bool Comparison::expected_equation_is(const MathNode& relation, const MathNode& g) {
  const Equation e = equation(relation);
  if (e.name == nullptr &&
      algebra_.compare(relation.args[0], relation.args[1]) != Sameness::kSame) {
    return false;
  }
  return std::any_of(e.values.begin(), e.values.end(),
                     [&](const MathNode* value) { return same(*value, g); });
}

bool Comparison::same_relations(const MathNode& e, const MathNode& g) {
  const bool e_equation = is_equation(e), g_equation = is_equation(g);
  if (g.kind != Kind::kRelation) return e_equation && expected_equation_is(e, g);
  if (e.kind != Kind::kRelation) {
    return g_equation && given_equation_is(e, equation(g));
  }
  if (!e_equation || !g_equation) {
    return e.text == g.text && same_items(e.args, g.args, true);
  }
  const Equation left = equation(e), right = equation(g);
  if (left.name != nullptr && right.name != nullptr && *left.name == *right.name) {
    for (const MathNode* value : left.values) {
      if (given_equation_is(*value, right)) return true;
    }
  }
  if (e.args.size() != 2 || g.args.size() != 2) return false;
  auto zero = [](const MathNode& n) {
    return node(Kind::kAdd, "", {n.args[0], node(Kind::kNegate, "", {n.args[1]})});
  };
  return algebra_.proportional(zero(e), zero(g));
}

bool Comparison::same_quantities(const MathNode& e, const MathNode& g) {
  auto unit = [](const MathNode& n) { return n.kind == Kind::kQuantity ? n.text : std::string(); };
  const std::string e_unit = unit(e), g_unit = unit(g);
  const MathNode& e_value = e_unit.empty() ? e : e.args[0];
  const MathNode& g_value = g_unit.empty() ? g : g.args[0];
  // A unit may be left out, but not replaced by another.
  if (!e_unit.empty() && !g_unit.empty() && e_unit != g_unit) return false;
  if (same(e_value, g_value)) return true;
  if (e_unit == g_unit) return false;
  auto scaled = [](const MathNode& n, const std::string& u) {
    if (u == "%") {
      return node(Kind::kDivide, "", {n, node(Kind::kNumber, "100")});
    }
    return u == "deg" ? node(Kind::kFunction, "deg", {n}) : n;
  };
  return same(scaled(e_value, e_unit), scaled(g_value, g_unit));
}

bool Comparison::same_scalars(const MathNode& e, const MathNode& g) {
  if (e.kind == Kind::kWords || g.kind == Kind::kWords) return false;
  if (algebra_.compare(e, g) != Sameness::kSame) return false;
  if (!is_literal(e, true)) return true;
  // Where a number is asked for, leaving arithmetic to the verifier is no answer.
  const bool integer = e.kind == Kind::kNumber || e.kind == Kind::kNegate;
  const bool plain = is_literal(e, false) && integer && e.text.find('.') == std::string::npos;
  if (is_literal(g, !plain)) return true;
  unevaluated_ = true;
  return false;
}

// The readings of an answer: commas before three digits group thousands, or separate.
std::vector<MathNode> readings(const std::vector<MathToken>& tokens) {
  std::vector<MathNode> out;
  std::vector<MathToken> joined = tokens;
  const bool ambiguous = join_thousands(joined);
  if (auto tree = parse_math(joined)) out.push_back(*std::move(tree));
  if (ambiguous) {
    if (auto tree = parse_math(tokens)) out.push_back(*std::move(tree));
  }
  return out;
}

}  // namespace

bool is_literal(const MathNode& n, bool fractions) {
  auto integer = [](const MathNode& x) {
    return x.kind == Kind::kNumber && x.text.find_first_not_of("0123456789") == std::string::npos;
  };
  auto power_of_ten = [&](const MathNode& x) {
    if (x.kind != Kind::kPower || x.args[0] != node(Kind::kNumber, "10")) return false;
    const MathNode& exponent = x.args[1];
    return integer(exponent.kind == Kind::kNegate ? exponent.args[0] : exponent);
  };
  switch (n.kind) {
    case Kind::kNumber:
      return true;
    case Kind::kNegate:
      return n.args[0].kind != Kind::kNegate && is_literal(n.args[0], fractions);
    case Kind::kAdd:
      return n.text == "mixed" && fractions;
    case Kind::kDivide: {
      const MathNode& top = n.args[0];
      return fractions && n.args[1].kind == Kind::kNumber &&
             (top.kind == Kind::kNumber ||
              (top.kind == Kind::kNegate && top.args[0].kind == Kind::kNumber));
    }
    case Kind::kMultiply:
      return n.args.size() == 2 && n.args[0].kind == Kind::kNumber && power_of_ten(n.args[1]);
    case Kind::kPower:
      return power_of_ten(n);
    default:
      return false;
  }
}

AnswerMatch match_answers(std::string_view expected, std::string_view given) {
  if (expected.size() > kMaxAnswerText || given.size() > kMaxAnswerText) {
    return expected == given ? AnswerMatch::kSame : AnswerMatch::kUnparseable;
  }
  const auto e_tokens = math_tokens(expected), g_tokens = math_tokens(given);
  const std::string e_text = normal_text(e_tokens);
  if (!e_text.empty() && e_text == normal_text(g_tokens)) return AnswerMatch::kSame;
  const auto e_readings = readings(e_tokens), g_readings = readings(g_tokens);
  if (e_readings.empty()) return AnswerMatch::kDifferent;
  if (g_readings.empty()) return AnswerMatch::kUnparseable;
  bool unevaluated = false;
  for (const MathNode& e : e_readings) {
    for (const MathNode& g : g_readings) {
      Comparison comparison;
      if (comparison.same(e, g)) return AnswerMatch::kSame;
      unevaluated = unevaluated || comparison.unevaluated();
    }
  }
  const bool words = e_readings[0].kind != Kind::kWords && g_readings[0].kind == Kind::kWords;
  if (words) return AnswerMatch::kUnparseable;
  return unevaluated ? AnswerMatch::kUnevaluated : AnswerMatch::kDifferent;
}

}  // namespace r1
