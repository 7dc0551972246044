#include "tasks/math/numeric_value.h"

#include <algorithm>
#include <limits>
#include <span>

#include "base/hash.h"

namespace r1 {
namespace {

using Kind = MathKind;

constexpr double kMaxExponential = 2000;  // |x| of e^x

int64_t bits(const cln::cl_I& x) {
  return static_cast<int64_t>(cln::integer_length(x));
}

cln::cl_I integer_of(std::string_view digits) {
  return digits.empty() ? cln::cl_I(0) : cln::cl_I(std::string(digits).c_str());
}

}  // namespace

int64_t bits(const cln::cl_RA& x) {
  return bits(cln::numerator(x)) + bits(cln::denominator(x));
}

std::optional<cln::cl_RA> literal_value(std::string_view text) {
  if (text.size() > 1000) return {};
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != text.npos) {
    const std::string power(text.substr(e + 1));
    if (power.size() > 4) return {};
    exponent = std::stoll(power);
    text = text.substr(0, e);
  }
  std::string_view period;
  if (const size_t open = text.find('('); open != text.npos) {
    period = text.substr(open + 1, text.size() - open - 2);
    text = text.substr(0, open);
  }
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view decimals = text.substr(std::min(point + 1, text.size()));
  cln::cl_RA value = integer_of(std::string(text.substr(0, point)) + std::string(decimals));
  if (!period.empty()) {
    value = value + cln::cl_RA(integer_of(period)) /
                        (cln::expt_pos(cln::cl_I(10), static_cast<int>(period.size())) - 1);
  }
  exponent -= static_cast<int64_t>(decimals.size());
  if (exponent > 1000 || exponent < -1000) return {};
  const cln::cl_RA scale = cln::expt(cln::cl_RA(10), cln::cl_I(static_cast<long>(exponent)));
  return value * scale;
}

bool is_real(const cln::cl_N& z) {
  return cln::zerop(cln::imagpart(z));
}

// Of a number that is not 0: about log2 |z|; nothing where that is beyond all use.
std::optional<int64_t> magnitude(const cln::cl_N& z) {
  auto of = [](const cln::cl_R& x) -> int64_t {
    if (cln::zerop(x)) return std::numeric_limits<int64_t>::min();
    if (cln:: instanceof (x, cln::cl_RA_ring)) {
      const cln::cl_RA r = cln::the<cln::cl_RA>(x);
      return bits(cln::numerator(r)) - bits(cln::denominator(r));
    }
    return static_cast<int64_t>(cln::float_exponent(cln::the<cln::cl_F>(x)));
  };
  const int64_t m = std::max(of(cln::realpart(z)), of(cln::imagpart(z)));
  if (m > 10000 || m < -10000) return {};
  return m;
}

cln::cl_N Evaluation::to_float(const cln::cl_N& z) const {
  return cln::complex(cln::cl_float(cln::realpart(z), precision_),
                      cln::cl_float(cln::imagpart(z), precision_));
}

Value Evaluation::bounded(const cln::cl_N& z) {
  if (cln::zerop(z)) return cln::cl_N(0);
  const auto m = magnitude(z);
  if (!m) return {};
  largest_ = std::max(largest_, *m);
  auto large = [](const cln::cl_R& x) {
    return cln:: instanceof (x, cln::cl_RA_ring) && bits(cln::the<cln::cl_RA>(x)) > kMaxNumberBits;
  };
  if (large(cln::realpart(z)) || large(cln::imagpart(z))) return to_float(z);
  return z;
}

Value Evaluation::symbol(const std::string& name) {
  if (name == "i") return cln::complex(0, 1);
  if (name == "pi") return cln::pi(precision_);
  if (name == "e") return cln::exp1(precision_);
  const std::string key = name + "#" + std::to_string(point_);
  const uint64_t hash = xxh3(std::as_bytes(std::span(key.data(), key.size())));
  // In turn in (0, 1), (1, 4), (4, 16), ...: a fraction with a prime below it, so that no accident
  // of small numbers makes different expressions agree.
  const long base = point_ == 0 ? 0 : 1L << (2 * point_ - 2), width = point_ == 0 ? 1 : 3 * base;
  const long below = 10007;
  const long above =
      base * below + 1 + static_cast<long>(hash % static_cast<uint64_t>(width * below - 1));
  const bool minus = negative_ && (hash >> 40) % 2 == 1;
  return cln::cl_RA(minus ? -above : above) / below;
}

Value Evaluation::exponential(const cln::cl_N& z) {
  if (cln::abs(cln::realpart(z)) > cln::cl_R(kMaxExponential) ||
      cln::abs(cln::imagpart(z)) > cln::cl_R(1e12)) {
    return {};
  }
  if (cln::zerop(z)) return cln::cl_N(1);
  return cln::exp(to_float(z));
}

Value Evaluation::logarithm(const cln::cl_N& z) {
  if (cln::zerop(z)) return {};
  if (is_real(z) && cln::realpart(z) < 0) branched_ = true;
  return cln::log(to_float(z));
}

Value Evaluation::power(const cln::cl_N& base, const cln::cl_N& exponent) {
  const bool rational = is_real(exponent) && cln:: instanceof
      (cln::realpart(exponent), cln::cl_RA_ring);
  if (rational) {
    const cln::cl_RA r = cln::the<cln::cl_RA>(cln::realpart(exponent));
    const cln::cl_I above = cln::numerator(r), below = cln::denominator(r);
    if (bits(above) > 30) return {};
    if (cln::zerop(base)) return above > 0 ? Value(0) : Value{};
    if (below == 1) {
      const auto m = magnitude(base);
      if (!m || (std::abs(*m) + 1) * std::abs(cln::cl_I_to_long(above)) > 20000) return {};
      return cln::expt(bits(above) > 10 ? to_float(base) : base, above);
    }
    if (is_real(base) && cln::realpart(base) < 0 && cln::oddp(below)) {
      const Value positive = power(-base, exponent);
      return positive && cln::oddp(above) ? Value(-*positive) : positive;
    }
  }
  const Value log = logarithm(base);
  return log ? exponential(*log * exponent) : Value{};
}

Value Evaluation::root(const cln::cl_N& degree, const cln::cl_N& z) {
  if (!is_real(degree) || !cln:: instanceof (cln::realpart(degree), cln::cl_I_ring)) {
    return power(z, cln::recip(degree));
  }
  const cln::cl_I n = cln::the<cln::cl_I>(cln::realpart(degree));
  if (n < 1 || bits(n) > 20) return {};
  if (cln::zerop(z)) return Value(0);
  const bool negative = is_real(z) && cln::realpart(z) < 0;
  if (n == 2) {
    branched_ = branched_ || negative;
    return cln::sqrt(to_float(z));
  }
  if (negative && cln::oddp(n)) {
    const Value positive = root(degree, -z);
    return positive ? Value(-*positive) : Value{};
  }
  const Value log = logarithm(z);
  return log ? exponential(*log / n) : Value{};
}

Value Evaluation::trigonometric(const std::string& name, const cln::cl_N& z) {
  if (cln::abs(cln::realpart(z)) > cln::cl_R(1e12) ||
      cln::abs(cln::imagpart(z)) > cln::cl_R(kMaxExponential)) {
    return {};
  }
  const cln::cl_N x = to_float(z);
  auto ratio = [](const cln::cl_N& a, const cln::cl_N& b) {
    return cln::zerop(b) ? Value{} : Value(a / b);
  };
  if (name == "sin") return cln::sin(x);
  if (name == "cos") return cln::cos(x);
  if (name == "tan") return ratio(cln::sin(x), cln::cos(x));
  if (name == "cot") return ratio(cln::cos(x), cln::sin(x));
  if (name == "sec") return ratio(1, cln::cos(x));
  if (name == "csc") return ratio(1, cln::sin(x));
  if (name == "sinh") return cln::sinh(x);
  if (name == "cosh") return cln::cosh(x);
  if (name == "tanh") return ratio(cln::sinh(x), cln::cosh(x));
  if (name == "coth") return ratio(cln::cosh(x), cln::sinh(x));
  const bool outside = is_real(z) && cln::abs(cln::realpart(z)) > 1;
  if (name == "arctan") return cln::atan(x);
  if (name == "arccot") return cln::pi(precision_) / 2 - cln::atan(x);
  if (name == "arcsin" || name == "arccos") {
    branched_ = branched_ || outside;
    return name == "arcsin" ? cln::asin(x) : cln::acos(x);
  }
  if (name == "arcsec" || name == "arccsc") {
    if (cln::zerop(x)) return {};
    branched_ = branched_ || !outside;
    return name == "arcsec" ? cln::acos(1 / x) : cln::asin(1 / x);
  }
  return {};
}

Value Evaluation::factorial(const cln::cl_N& z) {
  if (!is_real(z) || !cln:: instanceof (cln::realpart(z), cln::cl_I_ring)) return {};
  const cln::cl_I n = cln::the<cln::cl_I>(cln::realpart(z));
  if (n < 0 || n > 400) return {};
  return cln::factorial(cln::cl_I_to_uint(n));
}

Value Evaluation::function(const std::string& name, const std::vector<cln::cl_N>& args) {
  if (name == "abs") return cln::abs(args[0]);
  if (name == "root") return root(args[0], args[1]);
  if (name == "ln") return logarithm(args[0]);
  if (name == "exp") return exponential(args[0]);
  if (name == "deg") return args[0] * cln::pi(precision_) / 180;
  if (name == "factorial") return factorial(args[0]);
  if (name == "log") {
    const Value base = logarithm(args[0]), value = base ? logarithm(args[1]) : Value{};
    if (!value || cln::zerop(*base)) return {};
    return *value / *base;
  }
  if (name == "binom") {
    const Value top = factorial(args[0]), bottom = factorial(args[1]),
                rest = factorial(args[0] - args[1]);
    if (!top || !bottom || !rest) return {};
    return *top / (*bottom * *rest);
  }
  return trigonometric(name, args[0]);
}

Value Evaluation::of(const MathNode& n) {
  const bool costly = n.kind == Kind::kFunction || n.kind == Kind::kPower;
  if ((work_ -= costly ? 30 : 1) < 0) return {};
  std::vector<cln::cl_N> args;
  for (const MathNode& a : n.args) {
    const Value v = of(a);
    if (!v) return {};
    args.push_back(*v);
  }
  switch (n.kind) {
    case Kind::kNumber: {
      const auto value = literal_value(n.text);
      return value ? bounded(*value) : Value{};
    }
    case Kind::kSymbol:
      return symbol(n.text);
    case Kind::kAdd:
    case Kind::kMultiply: {
      cln::cl_N out = args[0];
      for (size_t i = 1; i < args.size(); ++i) {
        const Value next = bounded(n.kind == Kind::kAdd ? out + args[i] : out * args[i]);
        if (!next) return {};
        out = *next;
      }
      return out;
    }
    case Kind::kNegate:
      return -args[0];
    case Kind::kDivide:
      return cln::zerop(args[1]) ? Value{} : bounded(args[0] / args[1]);
    case Kind::kPower:
    case Kind::kFunction: {
      const Value v = n.kind == Kind::kPower ? power(args[0], args[1]) : function(n.text, args);
      return v ? bounded(*v) : Value{};
    }
    default:
      return {};
  }
}

}  // namespace r1
