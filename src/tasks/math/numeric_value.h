// The value of an expression where its variables have given values: exact while it is rational,
// else to 100 digits (CLN). Sizes are bounded before anything is computed.
#pragma once

#include <cln/cln.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/math/tree.h"

namespace r1 {

inline constexpr int64_t kMaxNumberBits = 4000;  // of an exact number

int64_t bits(const cln::cl_RA& x);

// The number that a literal writes: "12", ".5", "1e-3", "0.1(6)"; nothing where it is too large.
std::optional<cln::cl_RA> literal_value(std::string_view text);

bool is_real(const cln::cl_N& z);

// Of a number that is not 0: about log2 |z|; nothing where that is beyond all use.
std::optional<int64_t> magnitude(const cln::cl_N& z);

using Value = std::optional<cln::cl_N>;

// An expression's value where its variables have given values.
class Evaluation {
 public:
  // Variables have values that depend on their names and `point` alone.
  Evaluation(int point, bool negative, int64_t& work)
      : point_(point), negative_(negative), work_(work), precision_(cln::float_format(100)) {}

  Value of(const MathNode& n);
  // Whether a root or logarithm left its real branch on the way: identities may then fail.
  bool branched() const { return branched_; }
  int64_t largest() const { return largest_; }

 private:
  Value bounded(const cln::cl_N& z);
  Value symbol(const std::string& name);
  Value power(const cln::cl_N& base, const cln::cl_N& exponent);
  Value exponential(const cln::cl_N& z);
  Value logarithm(const cln::cl_N& z);
  Value root(const cln::cl_N& degree, const cln::cl_N& z);
  Value function(const std::string& name, const std::vector<cln::cl_N>& args);
  Value trigonometric(const std::string& name, const cln::cl_N& z);
  Value factorial(const cln::cl_N& z);
  cln::cl_N to_float(const cln::cl_N& z) const;

  int point_;
  bool negative_;
  int64_t& work_;
  cln::float_format_t precision_;
  bool branched_ = false;
  int64_t largest_ = -10000;  // magnitude of anything on the way
};

}  // namespace r1
