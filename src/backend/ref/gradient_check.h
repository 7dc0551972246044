// For tests only: a gradient in double against central finite differences.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"

namespace r1::ref {

inline std::vector<double> random_doubles(Rng& rng, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  for (double& v : values) v = rng.normal();
  return values;
}

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Expects dx to be the derivative of loss() with respect to x (which loss reads), each element
// within 1e-6 of the larger of itself and the gradient's root mean square.
inline void expect_gradient(const std::string& what, std::vector<double>& x,
                            const std::vector<double>& dx, const std::function<double()>& loss) {
  ASSERT_EQ(x.size(), dx.size()) << what;
  const double rms = std::sqrt(dot(dx, dx) / static_cast<double>(dx.size()));
  ASSERT_GT(rms, 0) << what << ": a gradient of zeros shows nothing";
  for (size_t i = 0; i < x.size(); ++i) {
    const double old = x[i], step = 1e-5 * std::max(1.0, std::abs(old));
    x[i] = old + step;
    const double above = loss();
    x[i] = old - step;
    const double below = loss();
    x[i] = old;
    EXPECT_NEAR(dx[i], (above - below) / (2 * step), 1e-6 * std::max(rms, std::abs(dx[i])))
        << what << ", element " << i;
  }
}

}  // namespace r1::ref
