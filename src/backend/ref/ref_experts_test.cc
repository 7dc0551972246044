// The gradients of routing and combining against finite differences, in double.
#include "backend/ref/ref_experts.h"

#include <gtest/gtest.h>

#include "backend/ref/gradient_check.h"

namespace r1::ref {
namespace {

using Matrix = BasicTensor<double>;
using ConstMatrix = BasicTensor<const double>;
using Doubles = std::vector<double>;

TEST(RefExperts, RouteGradients) {
  constexpr int64_t kT = 5, kE = 8;
  for (const bool sigmoid : {false, true}) {
    for (const bool normalize : {false, true}) {
      for (const int64_t groups : {1, 4}) {
        Routing r{.sigmoid = sigmoid,
                  .experts = 3,
                  .groups = groups,
                  .groups_per_row = groups == 1 ? 1 : 2,
                  .group_pairs = sigmoid,
                  .normalize = normalize,
                  .scale = 2.5f};
        Rng rng(21);
        Doubles logits = random_doubles(rng, kT * kE), bias = random_doubles(rng, kE);
        const Doubles dweight = random_doubles(rng, kT * r.experts);
        std::vector<int32_t> expert(dweight.size());
        const ConstMatrix x(logits.data(), kT, kE);
        const auto loss = [&] {
          Doubles weight(dweight.size());
          route<double>(x, bias.data(), r, expert.data(), weight.data());
          return dot(weight, dweight);
        };
        loss();
        Doubles dlogits(logits.size());
        route_backward<double>(dweight.data(), x, expert.data(), r, Matrix(dlogits.data(), kT, kE));
        expect_gradient("dlogits", logits, dlogits, loss);
      }
    }
  }
}

TEST(RefExperts, CombineGradients) {
  constexpr int64_t kT = 3, kK = 2, kC = 4;
  const std::vector<int32_t> slot = {3, 0, 5, 1, 2, 4};
  Rng rng(22);
  Doubles y = random_doubles(rng, kT * kK * kC), weight = random_doubles(rng, kT * kK);
  const Doubles dout = random_doubles(rng, kT * kC);
  const ConstMatrix yy(y.data(), kT * kK, kC);
  const auto loss = [&] {
    Doubles out(dout.size(), 1.0);
    combine_rows<double>(yy, slot, weight.data(), true, Matrix(out.data(), kT, kC));
    return dot(out, dout);
  };
  Doubles dy(y.size()), dweight(weight.size());
  combine_rows_backward<double>(ConstMatrix(dout.data(), kT, kC), yy, slot, weight.data(),
                                Matrix(dy.data(), kT * kK, kC), dweight.data());
  expect_gradient("dy", y, dy, loss);
  expect_gradient("dweight", weight, dweight, loss);
}

}  // namespace
}  // namespace r1::ref
