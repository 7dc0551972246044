// Expressions as quotients of expanded polynomials over exact big numbers (GiNaC): two that are
// equal as rational functions have a difference of 0, without any rounding.
#pragma once

#include <ginac/ginac.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tasks/math/tree.h"

namespace r1 {

// A quotient of expanded polynomials over Q(i), with bounds on what they hold.
struct Fraction {
  GiNaC::ex top = 0, bottom = 1;
  double terms = 1;    // of top times bottom, at most
  int64_t degree = 0;  // of either
  int64_t size = 1;    // bits of a coefficient
};
using MaybeFraction = std::optional<Fraction>;

// Expressions as such quotients; what is no rational function becomes a variable of its own (a
// kernel): a root, a function's value, pi.
class Polynomials {
 public:
  MaybeFraction of(const MathNode& n);
  // Whether functions, roots or named constants are in it: a polynomial that is not 0 may then be 0
  // as a number.
  bool has_kernels() const { return !kernels_.empty(); }

  static MaybeFraction sum(const Fraction& a, const Fraction& b);

 private:
  struct Kernel {
    std::string name;
    std::vector<GiNaC::ex> args;
    GiNaC::symbol symbol;
  };

  static MaybeFraction product(const Fraction& a, const Fraction& b);
  static MaybeFraction inverse(const Fraction& a);
  static MaybeFraction integer_power(const Fraction& base, int64_t exponent);
  MaybeFraction power(const MathNode& n);
  MaybeFraction root(const Fraction& base, int64_t degree, int64_t exponent);
  MaybeFraction kernel(const std::string& name, const std::vector<Fraction>& args);
  MaybeFraction variable(const std::string& name);

  std::map<std::string, GiNaC::symbol> variables_;
  std::vector<Kernel> kernels_;
};

}  // namespace r1
