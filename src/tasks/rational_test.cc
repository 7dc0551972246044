#include "tasks/rational.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace r1 {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

Rational fraction(int64_t numerator, int64_t denominator) {
  return Rational::make(numerator, denominator).value();
}

TEST(Rational, IsKeptInLowestTermsWithAPositiveDenominator) {
  EXPECT_EQ(fraction(6, 4), fraction(3, 2));
  EXPECT_EQ(fraction(3, -2), fraction(-3, 2));
  EXPECT_EQ(fraction(0, -7), Rational(0));
  EXPECT_EQ(fraction(-6, -3), Rational(2));
  EXPECT_EQ(fraction(14, -6).text(), "-7/3");
  EXPECT_EQ(fraction(14, 7).text(), "2");
  EXPECT_FALSE(Rational::make(1, 0));
  EXPECT_FALSE(Rational::make(0, 0));
}

TEST(Rational, ArithmeticIsExact) {
  const Rational third = fraction(1, 3);
  EXPECT_EQ(multiply(third, 3), Rational(1));
  EXPECT_EQ(add(third, fraction(1, 6)), fraction(1, 2));
  EXPECT_EQ(subtract(third, fraction(1, 2)), fraction(-1, 6));
  EXPECT_EQ(divide(third, fraction(-2, 3)), fraction(-1, 2));
  EXPECT_EQ(negate(third), fraction(-1, 3));
  EXPECT_FALSE(divide(third, 0));
  // In floating point this sum is not 3/10.
  EXPECT_EQ(add(fraction(1, 10), fraction(2, 10)), fraction(3, 10));
}

TEST(Rational, ResultsThatDoNotFitAreRefused) {
  EXPECT_FALSE(add(kMost, 1));
  EXPECT_FALSE(subtract(-kMost, 1));
  EXPECT_FALSE(multiply(kMost, 2));
  EXPECT_FALSE(multiply(fraction(1, kMost), fraction(1, 2)));
  EXPECT_EQ(add(kMost, -1), Rational(kMost - 1));
  EXPECT_EQ(multiply(kMost, fraction(1, kMost)), Rational(1));
  EXPECT_EQ(divide(kMost, kMost), Rational(1));
  EXPECT_EQ(negate(kMost), Rational(-kMost));
}

TEST(ParseNumber, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_number("42"), Rational(42));
  EXPECT_EQ(parse_number("  -7\n"), Rational(-7));
  EXPECT_EQ(parse_number("+3"), Rational(3));
  EXPECT_EQ(parse_number("−7"), Rational(-7));
  EXPECT_EQ(parse_number("007"), Rational(7));
  EXPECT_EQ(parse_number("-0"), Rational(0));
  EXPECT_EQ(parse_number("1,234,567"), Rational(1234567));
  EXPECT_EQ(parse_number("0.125"), fraction(1, 8));
  EXPECT_EQ(parse_number("-2.50"), fraction(-5, 2));
  EXPECT_EQ(parse_number("1,000.5"), fraction(2001, 2));
  EXPECT_EQ(parse_number("-7/3"), fraction(-7, 3));
  EXPECT_EQ(parse_number("14 / 6"), fraction(7, 3));
  EXPECT_EQ(parse_number("999999999999999999"), Rational(999999999999999999));
}

TEST(ParseNumber, RefusesAnythingElse) {
  for (const char* text : {"",
                           " ",
                           "-",
                           "+",
                           ".",
                           "5.",
                           ".5",
                           "1,23",
                           "12,34",
                           "1234,567",
                           ",123",
                           "1,2345",
                           "1,,234",
                           "1.2.3",
                           "1.2,345",
                           "1 2",
                           "--1",
                           "+-1",
                           "1/0",
                           "0/0",
                           "1/",
                           "/2",
                           "1/2/3",
                           "1/-2",
                           "1.5/2",
                           "1e3",
                           "0x10",
                           "inf",
                           "nan",
                           "ten",
                           "$5",
                           "5%",
                           "1234567890123456789",
                           "0.1234567890123456789",
                           "\xD9\xA3",
                           "1 000"}) {
    EXPECT_FALSE(parse_number(text)) << text;
  }
  EXPECT_FALSE(parse_number(std::string("5\0", 2)));
  EXPECT_FALSE(parse_number(std::string(1 << 20, '9')));
}

TEST(ParseNumber, ReadsBackEveryText) {
  for (int64_t n = -30; n <= 30; ++n) {
    for (int64_t d = 1; d <= 12; ++d) {
      EXPECT_EQ(parse_number(fraction(n, d).text()), fraction(n, d));
    }
  }
}

TEST(Trim, TakesWhiteSpaceOffBothEnds) {
  EXPECT_EQ(trim(" \t a b \r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
}

}  // namespace
}  // namespace r1
