#include "tasks/rational.h"

#include <limits>

namespace r1 {
namespace {

using Wide = __int128;

// |x| without the overflow of negating the least value; the arguments here are products or sums of
// two products of int64, so they stay far inside 128 bits.
Wide gcd(Wide a, Wide b) {
  if (a < 0) a = -a;
  if (b < 0) b = -b;
  while (b != 0) {
    const Wide rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes an optional sign off the front of text: -1 or 1.
int take_sign(std::string_view& text) {
  constexpr std::string_view kMinus = "\xE2\x88\x92";  // U+2212
  int sign = 1;
  if (text.starts_with(kMinus)) {
    sign = -1;
    text.remove_prefix(kMinus.size());
  } else if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    sign = text[0] == '-' ? -1 : 1;
    text.remove_prefix(1);
  }
  return sign;
}

// Digits alone, or digits in groups of three after commas. At most 18 of them.
std::optional<int64_t> parse_digits(std::string_view text) {
  const size_t first_comma = text.find(',');
  int64_t value = 0;
  int digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool comma_due =
        first_comma != std::string_view::npos && i >= first_comma && (i - first_comma) % 4 == 0;
    if (comma_due != (text[i] == ',')) return std::nullopt;
    if (comma_due) continue;
    if (!is_digit(text[i]) || ++digits > 18) return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  if (digits == 0) return std::nullopt;
  if (first_comma != std::string_view::npos) {
    const bool whole_groups = (text.size() - first_comma) % 4 == 0;
    if (first_comma == 0 || first_comma > 3 || !whole_groups) return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<Rational> Rational::make(Wide numerator, Wide denominator) {
  if (denominator == 0) return std::nullopt;
  const Wide divisor = gcd(numerator, denominator);
  numerator /= divisor;
  denominator /= divisor;
  if (denominator < 0) {
    numerator = -numerator;
    denominator = -denominator;
  }
  constexpr Wide kMost = std::numeric_limits<int64_t>::max();
  if (numerator > kMost || numerator < -kMost || denominator > kMost) return std::nullopt;
  Rational result;
  result.numerator_ = static_cast<int64_t>(numerator);
  result.denominator_ = static_cast<int64_t>(denominator);
  return result;
}

std::string Rational::text() const {
  std::string result = std::to_string(numerator_);
  if (denominator_ != 1) result += "/" + std::to_string(denominator_);
  return result;
}

std::optional<Rational> add(const Rational& a, const Rational& b) {
  return Rational::make(
      Wide{a.numerator()} * b.denominator() + Wide{b.numerator()} * a.denominator(),
      Wide{a.denominator()} * b.denominator());
}

std::optional<Rational> subtract(const Rational& a, const Rational& b) {
  return Rational::make(
      Wide{a.numerator()} * b.denominator() - Wide{b.numerator()} * a.denominator(),
      Wide{a.denominator()} * b.denominator());
}

std::optional<Rational> multiply(const Rational& a, const Rational& b) {
  return Rational::make(Wide{a.numerator()} * b.numerator(),
                        Wide{a.denominator()} * b.denominator());
}

std::optional<Rational> divide(const Rational& a, const Rational& b) {
  return Rational::make(Wide{a.numerator()} * b.denominator(),
                        Wide{a.denominator()} * b.numerator());
}

std::optional<Rational> negate(const Rational& a) {
  return Rational::make(-Wide{a.numerator()}, a.denominator());
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::optional<Rational> parse_number(std::string_view text) {
  text = trim(text);
  const int sign = take_sign(text);
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto numerator = parse_digits(trim(text.substr(0, slash)));
    const auto denominator = parse_digits(trim(text.substr(slash + 1)));
    if (!numerator || !denominator) return std::nullopt;
    return Rational::make(Wide{sign} * *numerator, *denominator);
  }
  const size_t point = text.find('.');
  const auto whole = parse_digits(text.substr(0, point));
  if (!whole) return std::nullopt;
  if (point == std::string_view::npos) return Rational(sign * *whole);
  const std::string_view decimals = text.substr(point + 1);
  if (decimals.find(',') != std::string_view::npos) return std::nullopt;
  const auto fraction = parse_digits(decimals);
  if (!fraction) return std::nullopt;
  Wide scale = 1;
  for (size_t i = 0; i < decimals.size(); ++i) scale *= 10;
  return Rational::make(Wide{sign} * (Wide{*whole} * scale + *fraction), scale);
}

}  // namespace r1
