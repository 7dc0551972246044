#include "tasks/math/polynomials.h"

#include <algorithm>

#include "tasks/math/numeric_value.h"

namespace r1 {
namespace {

using Kind = MathKind;

constexpr double kMaxTerms = 300;     // of an expanded polynomial
constexpr int64_t kMaxExponent = 40;  // of a polynomial's power

bool fits(const Fraction& f) {
  return f.terms <= kMaxTerms && f.degree <= kMaxExponent * 2 && f.size <= kMaxNumberBits;
}

// With the terms that are left once like ones are collected.
Fraction counted(Fraction f) {
  auto terms = [](const GiNaC::ex& x) {
    return GiNaC::is_a<GiNaC::add>(x) ? static_cast<double>(x.nops()) : 1.0;
  };
  f.terms = terms(f.top) * terms(f.bottom);
  return f;
}

}  // namespace

MaybeFraction Polynomials::sum(const Fraction& a, const Fraction& b) {
  Fraction out;
  out.terms = 2 * a.terms * b.terms;
  out.degree = a.degree + b.degree;
  out.size = a.size + b.size + 1;
  if (a.bottom.is_equal(b.bottom)) {
    out.terms = a.terms + b.terms;
    out.degree = std::max(a.degree, b.degree);
  }
  if (!fits(out)) return {};
  if (a.bottom.is_equal(b.bottom)) {
    out.top = (a.top + b.top).expand();
    out.bottom = a.bottom;
  } else {
    out.top = (a.top * b.bottom + b.top * a.bottom).expand();
    out.bottom = (a.bottom * b.bottom).expand();
  }
  return counted(out);
}

MaybeFraction Polynomials::product(const Fraction& a, const Fraction& b) {
  Fraction out;
  out.terms = a.terms * b.terms;
  out.degree = a.degree + b.degree;
  out.size = a.size + b.size + 1;
  if (!fits(out)) return {};
  out.top = (a.top * b.top).expand();
  out.bottom = (a.bottom * b.bottom).expand();
  return counted(out);
}

MaybeFraction Polynomials::inverse(const Fraction& a) {
  if (a.top.is_zero()) return {};
  Fraction out = a;
  std::swap(out.top, out.bottom);
  return out;
}

MaybeFraction Polynomials::integer_power(const Fraction& base, int64_t exponent) {
  if (exponent < 0) {
    const MaybeFraction inverted = inverse(base);
    return inverted ? integer_power(*inverted, -exponent) : MaybeFraction{};
  }
  const bool is_number =
      GiNaC::is_a<GiNaC::numeric>(base.top) && GiNaC::is_a<GiNaC::numeric>(base.bottom);
  if (exponent > (is_number ? kMaxNumberBits : kMaxExponent) ||
      base.size * exponent > kMaxNumberBits) {
    return {};
  }
  MaybeFraction out = Fraction{1, 1, 1, 0, 1};
  for (int64_t i = 0; out && i < exponent && !is_number; ++i) out = product(*out, base);
  if (!is_number) return out;
  const auto raise = [&](const GiNaC::ex& x) { return GiNaC::pow(x, static_cast<int>(exponent)); };
  return Fraction{raise(base.top), raise(base.bottom), 1, 0,
                  base.size * std::max<int64_t>(1, exponent)};
}

// base^(exponent / degree) by a symbol for base^(1 / degree).
MaybeFraction Polynomials::root(const Fraction& base, int64_t degree, int64_t exponent) {
  if (degree == 1) return integer_power(base, exponent);
  if (degree < 1 || degree > 1000) return {};
  const MaybeFraction r = kernel("root" + std::to_string(degree), {base});
  return r ? integer_power(*r, exponent) : MaybeFraction{};
}

MaybeFraction Polynomials::power(const MathNode& n) {
  const MaybeFraction base = of(n.args[0]), exponent = base ? of(n.args[1]) : MaybeFraction{};
  if (!exponent) return {};
  const GiNaC::ex ratio = exponent->top / exponent->bottom;
  if (GiNaC::is_a<GiNaC::numeric>(ratio)) {
    const auto& r = GiNaC::ex_to<GiNaC::numeric>(ratio);
    if (r.is_rational() && abs(r.numer()) < 10000 && r.denom() < 1000) {
      return root(*base, r.denom().to_long(), r.numer().to_long());
    }
  }
  return kernel("power", {*base, *exponent});
}

MaybeFraction Polynomials::kernel(const std::string& name, const std::vector<Fraction>& args) {
  std::vector<GiNaC::ex> key;
  for (const Fraction& f : args) {
    key.push_back(f.top);
    key.push_back(f.bottom);
  }
  auto same = [&](const Kernel& k) {
    return k.name == name && k.args.size() == key.size() &&
           std::equal(key.begin(), key.end(), k.args.begin(),
                      [](const GiNaC::ex& a, const GiNaC::ex& b) { return a.is_equal(b); });
  };
  auto found = std::find_if(kernels_.begin(), kernels_.end(), same);
  if (found == kernels_.end()) {
    if (kernels_.size() >= 20) return {};
    found = kernels_.insert(kernels_.end(), {name, key, GiNaC::symbol()});
  }
  return Fraction{found->symbol, 1, 1, 1, 1};
}

MaybeFraction Polynomials::variable(const std::string& name) {
  if (name == "i") return Fraction{GiNaC::I, 1, 1, 0, 1};
  if (name == "e" || name == "pi" || name == "oo") return kernel(name, {});
  return Fraction{variables_[name], 1, 1, 1, 1};
}

MaybeFraction Polynomials::of(const MathNode& n) {
  std::vector<Fraction> args;
  for (const MathNode& a : n.args) {
    if (n.kind == Kind::kPower) break;
    const MaybeFraction f = of(a);
    if (!f) return {};
    args.push_back(*f);
  }
  MaybeFraction out;
  switch (n.kind) {
    case Kind::kNumber: {
      const auto value = literal_value(n.text);
      if (!value) return {};
      return Fraction{GiNaC::numeric(cln::numerator(*value)),
                      GiNaC::numeric(cln::denominator(*value)), 1, 0, bits(*value)};
    }
    case Kind::kSymbol:
      return variable(n.text);
    case Kind::kAdd:
    case Kind::kMultiply:
      out = args[0];
      for (size_t i = 1; out && i < args.size(); ++i) {
        out = n.kind == Kind::kAdd ? sum(*out, args[i]) : product(*out, args[i]);
      }
      return out;
    case Kind::kNegate:
      args[0].top = (-args[0].top).expand();
      return args[0];
    case Kind::kDivide:
      out = inverse(args[1]);
      return out ? product(args[0], *out) : MaybeFraction{};
    case Kind::kPower:
      return power(n);
    case Kind::kFunction:
      if (n.text == "exp") return {};  // for the numeric comparison: e^x has two spellings
      if (n.text == "root") {
        const GiNaC::ex degree = args[0].top / args[0].bottom;
        if (!GiNaC::is_a<GiNaC::numeric>(degree)) return {};
        const auto& d = GiNaC::ex_to<GiNaC::numeric>(degree);
        return d.is_pos_integer() && d < 1000 ? root(args[1], d.to_long(), 1) : MaybeFraction{};
      }
      return kernel(n.text, args);
    default:
      return {};
  }
}

}  // namespace r1
