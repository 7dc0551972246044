#include "tasks/expression.h"

#include <gtest/gtest.h>

#include <string>

#include "base/rng.h"

namespace r1 {
namespace {

Rational value_of(std::string_view text) {
  const auto e = parse_expression(text);
  if (!e || !e->value) {
    ADD_FAILURE() << "no value: " << text;
    return 0;
  }
  return *e->value;
}

Rational fraction(int64_t numerator, int64_t denominator) {
  return Rational::make(numerator, denominator).value();
}

TEST(Expression, FollowsThePrecedenceAndTheOrderOfOperators) {
  EXPECT_EQ(value_of("2 + 3 * 4"), Rational(14));
  EXPECT_EQ(value_of("(2 + 3) * 4"), Rational(20));
  EXPECT_EQ(value_of("10 - 4 - 3"), Rational(3));
  EXPECT_EQ(value_of("24 / 4 / 2"), Rational(3));
  EXPECT_EQ(value_of("24 / (4 / 2)"), Rational(12));
  EXPECT_EQ(value_of("2*3/4"), fraction(3, 2));
  EXPECT_EQ(value_of("1 - 2 * 3 + 4"), Rational(-1));
  EXPECT_EQ(value_of("((7))"), Rational(7));
}

TEST(Expression, DividesExactly) {
  EXPECT_EQ(value_of("8 / (3 - 8 / 3)"), Rational(24));
  EXPECT_EQ(value_of("1/3 + 1/6"), fraction(1, 2));
  EXPECT_EQ(value_of("1 / 3 * 3"), Rational(1));
}

TEST(Expression, KnowsSigns) {
  EXPECT_EQ(value_of("-3"), Rational(-3));
  EXPECT_EQ(value_of("--3"), Rational(3));
  EXPECT_EQ(value_of("2 - -3"), Rational(5));
  EXPECT_EQ(value_of("+2 * -(1 + 1)"), Rational(-4));
  EXPECT_EQ(value_of("-2 * 3 + 7"), Rational(1));
}

TEST(Expression, ReadsTheSignsOfPrint) {
  EXPECT_EQ(value_of("6 × 7"), Rational(42));
  EXPECT_EQ(value_of("6 · 7"), Rational(42));
  EXPECT_EQ(value_of("6 ⋅ 7"), Rational(42));
  EXPECT_EQ(value_of("9 ÷ 2"), fraction(9, 2));
  EXPECT_EQ(value_of("9 − 12"), Rational(-3));
  EXPECT_EQ(value_of("−9"), Rational(-9));
}

TEST(Expression, ListsItsLiterals) {
  const auto e = parse_expression("\t(12+3)*-45 /\n6 ");
  ASSERT_TRUE(e);
  EXPECT_EQ(e->literals, (std::vector<int64_t>{12, 3, 45, 6}));
  EXPECT_EQ(e->value, fraction(-225, 2));
}

TEST(Expression, HasNoValueBeyondDivisionByZeroOr64Bits) {
  for (const char* text : {"1 / 0", "1 / (3 - 3)", "0 / 0", "(1 / 0) * 0",
                           "999999999999999 * 999999999999999", "1 + 5 / (2 * 1 - 2)"}) {
    const auto e = parse_expression(text);
    ASSERT_TRUE(e) << text;
    EXPECT_FALSE(e->value) << text;
    EXPECT_FALSE(e->literals.empty());
  }
}

TEST(Expression, RefusesWhatIsNotOne) {
  for (const char* text :
       {"",         " ",     "(",        ")",       "()",     "1 +",    "* 2", "1 2",
        "(1",       "1)",    "1 ** 2",   "1 // 2",  "2(3)",   "(1)(2)", "1.5", "1,000",
        "x",        "1 = 1", "2^3",      "1 + two", "3!",     "1e3",    "0x1", "1234567890123456",
        "\xE2\x88", "\xC3",  "1 \xC3 2", "[1]",     "10 % 3", "1;2"}) {
    EXPECT_FALSE(parse_expression(text)) << text;
  }
  EXPECT_FALSE(parse_expression(std::string("1\0+1", 4)));
}

TEST(Expression, BoundsLengthAndDepth) {
  auto nested = [](size_t n, const char* open, const char* close) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += open;
    text += "1";
    for (size_t i = 0; i < n; ++i) text += close;
    return text;
  };
  const size_t most = kMaxExpressionDepth - 1;  // the literal is the last level
  EXPECT_TRUE(parse_expression(nested(most, "(", ")")));
  EXPECT_FALSE(parse_expression(nested(most + 1, "(", ")")));
  EXPECT_TRUE(parse_expression(nested(most, "-", "")));
  EXPECT_FALSE(parse_expression(nested(most + 1, "-", "")));
  // Depth, not the number of parentheses.
  std::string wide = "(1)";
  while (wide.size() + 4 <= kMaxExpressionBytes) wide += "+(1)";
  ASSERT_TRUE(parse_expression(wide));
  EXPECT_EQ(value_of(wide), Rational(static_cast<int64_t>(wide.size() + 1) / 4));
  EXPECT_TRUE(parse_expression("1" + std::string(kMaxExpressionBytes - 1, ' ')));
  EXPECT_FALSE(parse_expression("1" + std::string(kMaxExpressionBytes, ' ')));
  EXPECT_FALSE(parse_expression(std::string(1 << 20, '(')));
}

// A random tree, written with random spelling, has the value that was computed beside it.
struct Written {
  std::string text;
  std::optional<Rational> value;
};

Written random_tree(Rng& rng, int depth) {
  if (depth == 0 || rng.below(4) == 0) {
    const int64_t n = rng.between(0, 20);
    return {std::to_string(n), Rational(n)};
  }
  const Written a = random_tree(rng, depth - 1), b = random_tree(rng, depth - 1);
  const uint64_t op = rng.below(4);
  constexpr const char* kSpellings[4][3] = {
      {"+", " + ", "\n+"}, {"-", " - ", "−"}, {"*", " × ", "·"}, {"/", " / ", "÷"}};
  const std::string text = "(" + a.text + kSpellings[op][rng.below(3)] + b.text + ")";
  if (!a.value || !b.value) return {text, std::nullopt};
  switch (op) {
    case 0:
      return {text, add(*a.value, *b.value)};
    case 1:
      return {text, subtract(*a.value, *b.value)};
    case 2:
      return {text, multiply(*a.value, *b.value)};
    default:
      return {text, divide(*a.value, *b.value)};
  }
}

TEST(Expression, AgreesWithRandomTrees) {
  Rng rng(11);
  int with_value = 0;
  for (int i = 0; i < 3000; ++i) {
    const Written tree = random_tree(rng, 4);
    const auto e = parse_expression(tree.text);
    ASSERT_TRUE(e) << tree.text;
    EXPECT_EQ(e->value, tree.value) << tree.text;
    with_value += tree.value ? 1 : 0;
  }
  EXPECT_GT(with_value, 2000);
}

}  // namespace
}  // namespace r1
