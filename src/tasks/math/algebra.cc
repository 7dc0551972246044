#include "tasks/math/algebra.h"

#include <algorithm>
#include <functional>
#include <mutex>

#include "tasks/math/numeric_value.h"
#include "tasks/math/polynomials.h"

namespace r1 {
namespace {

constexpr int kPoints = 4;

bool has_variables(const MathNode& n) {
  if (n.kind == MathKind::kSymbol) return n.text != "i" && n.text != "e" && n.text != "pi";
  return std::any_of(n.args.begin(), n.args.end(), has_variables);
}

bool has_absolute(const MathNode& n) {
  return (n.kind == MathKind::kFunction && n.text == "abs") ||
         std::any_of(n.args.begin(), n.args.end(), has_absolute);
}

// Whether a - b is 0 as far as 100 digits tell, when the largest number met has magnitude
// `largest`. 332 bits are 100 digits.
bool is_negligible(const cln::cl_N& difference, int64_t largest) {
  if (cln::zerop(difference)) return true;
  const auto m = magnitude(difference);
  return !m || *m < largest - 290;
}

// GiNaC's and CLN's reference counts are not atomic: one thread at a time.
std::mutex& library_mutex() {
  static std::mutex mutex;
  return mutex;
}

// CLN and GiNaC throw where a result does not exist.
template <class T>
T guarded(T otherwise, const std::function<T()>& compute) {
  const std::lock_guard lock(library_mutex());
  try {
    return compute();
  } catch (const std::exception&) {
    return otherwise;
  }
}

Sameness by_values(const MathNode& a, const MathNode& b, int64_t& work) {
  const bool variables = has_variables(a) || has_variables(b);
  const bool absolute = has_absolute(a) || has_absolute(b);
  int agreements = 0, branched = 0;
  const int points = variables ? kPoints : 1;
  for (int sign = 0; sign < (absolute && variables ? 2 : 1); ++sign) {
    for (int point = 0; point < points; ++point) {
      Evaluation at_a(point, sign == 1, work), at_b(point, sign == 1, work);
      const Value x = at_a.of(a), y = x ? at_b.of(b) : Value{};
      if (!y) continue;
      const bool on_branch = variables && (at_a.branched() || at_b.branched());
      const int64_t largest = std::max(at_a.largest(), at_b.largest());
      if (is_negligible(*x - *y, largest)) {
        // So many digits cancelled that the rest says nothing.
        if (!cln::zerop(*x - *y) && is_negligible(*x, largest + 100)) return Sameness::kUnknown;
        ++(on_branch ? branched : agreements);
      } else if (!on_branch) {
        return Sameness::kDifferent;
      } else {
        --branched;
      }
    }
  }
  if (agreements >= std::min(2, points)) return Sameness::kSame;
  return agreements + branched >= 2 ? Sameness::kSame : Sameness::kUnknown;
}

}  // namespace

Sameness Algebra::compare(const MathNode& a, const MathNode& b) {
  if (a == b) return Sameness::kSame;
  return guarded<Sameness>(Sameness::kUnknown, [&] {
    if (work_left_ <= 0) return Sameness::kUnknown;
    work_left_ -= 50;
    Polynomials polynomials;
    const MaybeFraction x = polynomials.of(a), y = x ? polynomials.of(b) : MaybeFraction{};
    if (y) {
      Fraction minus = *y;
      minus.top = -minus.top;
      const MaybeFraction difference = Polynomials::sum(*x, minus);
      if (difference && difference->top.expand().is_zero()) return Sameness::kSame;
      if (difference && !polynomials.has_kernels()) return Sameness::kDifferent;
    }
    return by_values(a, b, work_left_);
  });
}

bool Algebra::proportional(const MathNode& a, const MathNode& b) {
  if (!has_variables(a) || !has_variables(b)) return false;
  return guarded<bool>(false, [&] {
    Value factor;
    int agreements = 0;
    for (int point = 0; point < kPoints; ++point) {
      Evaluation at_a(point, true, work_left_), at_b(point, true, work_left_);
      const Value x = at_a.of(a), y = x ? at_b.of(b) : Value{};
      if (!y || at_a.branched() || at_b.branched()) continue;
      if (cln::zerop(*x) || cln::zerop(*y)) return false;
      if (!factor)
        factor = *x / *y;
      else if (!is_negligible(*x - *factor * *y, std::max(at_a.largest(), at_b.largest())))
        return false;
      else
        ++agreements;
    }
    return agreements >= 2;
  });
}

bool Algebra::rounds_to(const MathNode& exact, const MathNode& rounded) {
  if (rounded.kind != MathKind::kNumber && rounded.kind != MathKind::kNegate) return false;
  const MathNode& digits = rounded.kind == MathKind::kNegate ? rounded.args[0] : rounded;
  if (digits.kind != MathKind::kNumber) return false;
  const size_t point = digits.text.find('.');
  const int decimals =
      point == std::string::npos ? 0 : static_cast<int>(digits.text.size() - point - 1);
  return guarded<bool>(false, [&] {
    Evaluation at_exact(0, false, work_left_), at_rounded(0, false, work_left_);
    const Value x = at_exact.of(exact), y = at_rounded.of(rounded);
    if (!x || !y || !is_real(*x) || !is_real(*y) || decimals > 100) return false;
    const cln::cl_RA unit = cln::expt(cln::cl_RA(10), cln::cl_I(-decimals));
    return cln::abs(cln::realpart(*x) - cln::realpart(*y)) <= unit / 2;
  });
}

}  // namespace r1
