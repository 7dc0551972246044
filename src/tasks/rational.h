// Exact fractions over int64: what verifiers compute with, so that 1/3 * 3 is 1.
//
// Results that do not fit are refused, never wrapped: every operation is checked in 128 bits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace r1 {

// numerator / denominator in lowest terms, denominator > 0; so equal values have equal members.
class Rational {
 public:
  Rational() = default;
  Rational(int64_t integer) : numerator_(integer) {}  // NOLINT(google-explicit-constructor)

  // Nothing where the denominator is 0 or the reduced fraction does not fit.
  static std::optional<Rational> make(__int128 numerator, __int128 denominator);

  int64_t numerator() const { return numerator_; }
  int64_t denominator() const { return denominator_; }
  bool is_integer() const { return denominator_ == 1; }
  // "7", "-7" or "-7/3".
  std::string text() const;

  friend bool operator==(const Rational&, const Rational&) = default;

 private:
  int64_t numerator_ = 0, denominator_ = 1;
};

// Nothing where the result does not fit, or on division by zero.
std::optional<Rational> add(const Rational& a, const Rational& b);
std::optional<Rational> subtract(const Rational& a, const Rational& b);
std::optional<Rational> multiply(const Rational& a, const Rational& b);
std::optional<Rational> divide(const Rational& a, const Rational& b);
std::optional<Rational> negate(const Rational& a);

// A number as people write it in an answer, exactly: "42", "-7", "+3", "1,234,567", "0.125",
// "-7/3", with the signs - and U+2212, and white space around it. Nothing for anything else.
std::optional<Rational> parse_number(std::string_view text);

// `text` without the ASCII white space at its ends.
std::string_view trim(std::string_view text);

}  // namespace r1
