// Whether two expressions are the same: exactly where they are rational functions (GiNaC's expanded
// polynomials over exact big numbers), else by their values at fixed points to 100 digits (CLN).
//
// Nothing here can blow up: sizes of powers, polynomials and numbers are bounded before they are
// computed, and one Algebra does a bounded amount of work (about 20 ms) and then knows no more.
#pragma once

#include <cstdint>
#include <string>

#include "tasks/math/tree.h"

namespace r1 {

enum class Sameness { kSame, kDifferent, kUnknown };

class Algebra {
 public:
  // a and b are scalars (math_tree.h); what is none gives kUnknown.
  //
  // Variables stand for positive numbers, as textbooks read sqrt(x^2) = x, unless a or b has an
  // absolute value in it: then for numbers of either sign. Odd roots of negative numbers are real.
  Sameness compare(const MathNode& a, const MathNode& b);

  // Whether a = c b for a number c that is not 0, with a variable in both: a = 0 and b = 0 are then
  // the same equation.
  bool proportional(const MathNode& a, const MathNode& b);

  // Whether `rounded`, a number with decimals, is what `exact` is rounded to.
  bool rounds_to(const MathNode& exact, const MathNode& rounded);

 private:
  int64_t work_left_ = 20000;
};

}  // namespace r1
