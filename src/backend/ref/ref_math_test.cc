// The gradient of every op but attention (ref_attention_test.cc) against finite differences, in
// double. The loss is always a fixed random combination of the op's outputs, so its derivative with
// respect to them is that combination's weights.
#include "backend/ref/ref_math.h"

#include <gtest/gtest.h>

#include "backend/ref/gradient_check.h"

namespace r1::ref {
namespace {

using Matrix = BasicTensor<double>;
using ConstMatrix = BasicTensor<const double>;
using Doubles = std::vector<double>;

struct GradientTest : testing::Test {
  Doubles random(int64_t count) { return random_doubles(rng, count); }
  Rng rng{2025};
};

TEST_F(GradientTest, Matmul) {
  constexpr int64_t kT = 3, kN = 5, kK = 4;
  Doubles x = random(kT * kK), w = random(kN * kK), bias = random(kN);
  const Doubles start = random(kT * kN), dout = random(kT * kN);
  const auto loss = [&] {
    Doubles out = start;
    matmul<double>(
        ConstMatrix(x.data(), kT, kK),
        [&](int64_t n, int64_t k) { return w[static_cast<size_t>(n * kK + k)]; }, bias.data(), true,
        Matrix(out.data(), kT, kN));
    return dot(out, dout);
  };
  const ConstMatrix d(dout.data(), kT, kN);
  Doubles dx(x.size()), dw(w.size()), dbias(bias.size());
  matmul<double>(
      d, [&](int64_t k, int64_t n) { return w[static_cast<size_t>(n * kK + k)]; }, nullptr, false,
      Matrix(dx.data(), kT, kK));
  matmul_backward_weight<double>(d, ConstMatrix(x.data(), kT, kK), Matrix(dw.data(), kN, kK));
  matmul_backward_bias<double>(d, dbias.data());
  expect_gradient("dx", x, dx, loss);
  expect_gradient("dw", w, dw, loss);
  expect_gradient("dbias", bias, dbias, loss);
}

TEST_F(GradientTest, WeightGradientsAddUp) {
  const Doubles dout = random(6), x = random(4);
  Doubles dw(6, 1.0), dbias(3, 1.0), twice = dw, bias_twice = dbias;
  const ConstMatrix d(dout.data(), 2, 3), input(x.data(), 2, 2);
  matmul_backward_weight<double>(d, input, Matrix(dw.data(), 3, 2));
  matmul_backward_bias<double>(d, dbias.data());
  for (int i = 0; i < 2; ++i) {
    matmul_backward_weight<double>(d, input, Matrix(twice.data(), 3, 2));
    matmul_backward_bias<double>(d, bias_twice.data());
  }
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(twice[i] - 1, 2 * (dw[i] - 1), 1e-12);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(bias_twice[i] - 1, 2 * (dbias[i] - 1), 1e-12);
}

// embed and gather_rows are one function; row 4 is read twice, row 0 never.
TEST_F(GradientTest, GatherRows) {
  constexpr int64_t kRows = 5, kCols = 3;
  const std::vector<int32_t> rows = {4, 1, 4, 2};
  Doubles x = random(kRows * kCols);
  const Doubles dout = random(4 * kCols);
  const auto loss = [&] {
    Doubles out(dout.size());
    gather_rows<double>(ConstMatrix(x.data(), kRows, kCols), rows, Matrix(out.data(), 4, kCols));
    return dot(out, dout);
  };
  Doubles dx(x.size());
  gather_rows_backward<double>(ConstMatrix(dout.data(), 4, kCols), rows,
                               Matrix(dx.data(), kRows, kCols));
  expect_gradient("dx", x, dx, loss);
}

// add and scale are their own gradients: d(x + y) = dx + dy, d(f x) = f dx.
TEST_F(GradientTest, AddAndScale) {
  Doubles x = random(6), y = random(6);
  const Doubles dout = random(6);
  const auto loss = [&] {
    Doubles out = x;
    add<double>(Matrix(out.data(), 2, 3), ConstMatrix(y.data(), 2, 3));
    scale<double>(Matrix(out.data(), 2, 3), 0.7);
    return dot(out, dout);
  };
  Doubles d = dout;
  scale<double>(Matrix(d.data(), 2, 3), 0.7);
  expect_gradient("dx", x, d, loss);
  expect_gradient("dy", y, d, loss);
}

TEST_F(GradientTest, RmsNorm) {
  constexpr int64_t kT = 3, kGroups = 2, kWidth = 5, kCols = kGroups * kWidth;
  Doubles x = random(kT * kCols), w = random(kWidth);
  const Doubles dout = random(kT * kCols), residual = random(kT * kCols);
  Doubles rstd(kT * kGroups);
  const auto loss = [&] {
    Doubles out(x.size());
    rms_norm<double>(ConstMatrix(x.data(), kT, kCols), w, kGroups, 1e-3,
                     Matrix(out.data(), kT, kCols), rstd.data());
    return dot(out, dout);
  };
  loss();
  const Doubles saved = rstd;
  Doubles dx(x.size()), dw(w.size()), added = residual, in_place = dout;
  const auto backward = [&](const Doubles& from, bool add_to, Doubles& to, Doubles& dw_to) {
    rms_norm_backward<double>(ConstMatrix(from.data(), kT, kCols), ConstMatrix(x.data(), kT, kCols),
                              w, kGroups, saved.data(), add_to, Matrix(to.data(), kT, kCols),
                              dw_to.data());
  };
  backward(dout, false, dx, dw);
  expect_gradient("dx", x, dx, loss);
  expect_gradient("dw", w, dw, loss);
  Doubles dw_again(w.size());
  backward(dout, true, added, dw_again);
  backward(in_place, false, in_place, dw_again);
  for (size_t i = 0; i < dx.size(); ++i) {
    EXPECT_NEAR(added[i], residual[i] + dx[i], 1e-12);
    EXPECT_EQ(in_place[i], dx[i]);
  }
  for (size_t i = 0; i < dw.size(); ++i) EXPECT_NEAR(dw_again[i], 2 * dw[i], 1e-12);
}

TEST_F(GradientTest, Rope) {
  constexpr int64_t kT = 3, kHeads = 2, kDim = 6, kPositions = 9;
  const std::vector<int32_t> positions = {8, 0, 3};
  Doubles table(kPositions * kDim);
  for (int64_t p = 0; p < kPositions; ++p) {
    for (int64_t i = 0; i < kDim / 2; ++i) {
      const double angle = static_cast<double>(p) * std::pow(0.3, static_cast<double>(i));
      table[static_cast<size_t>(p * kDim + i)] = std::cos(angle);
      table[static_cast<size_t>(p * kDim + kDim / 2 + i)] = std::sin(angle);
    }
  }
  const ConstMatrix cos_sin(table.data(), kPositions, kDim);
  for (const int64_t head : {kDim, kDim + 3}) {  // the last kDim of a head
    for (const bool interleaved : {false, true}) {
      const int64_t cols = kHeads * head;
      Doubles x = random(kT * cols);
      const Doubles dout = random(kT * cols);
      const auto loss = [&] {
        Doubles out = x;
        rope<double>(Matrix(out.data(), kT, cols), head, interleaved, positions, cos_sin, +1);
        return dot(out, dout);
      };
      Doubles dx = dout;
      rope<double>(Matrix(dx.data(), kT, cols), head, interleaved, positions, cos_sin, -1);
      expect_gradient("dx", x, dx, loss);
    }
  }
}

TEST_F(GradientTest, Swiglu) {
  constexpr int64_t kT = 3, kF = 5;
  Doubles x = random(kT * 2 * kF);
  const Doubles dout = random(kT * kF);
  const auto loss = [&] {
    Doubles out(dout.size());
    swiglu<double>(ConstMatrix(x.data(), kT, 2 * kF), Matrix(out.data(), kT, kF));
    return dot(out, dout);
  };
  Doubles dx(x.size());
  swiglu_backward<double>(ConstMatrix(dout.data(), kT, kF), ConstMatrix(x.data(), kT, 2 * kF),
                          Matrix(dx.data(), kT, 2 * kF));
  expect_gradient("dgate_up", x, dx, loss);
}

TEST_F(GradientTest, LogSoftmax) {
  constexpr int64_t kR = 4, kV = 7;
  const std::vector<int32_t> targets = {0, 6, 3, 3};
  Doubles x = random(kR * kV);
  const Doubles dlogprob = random(kR);
  constexpr double kScale = 0.25;
  Doubles logprob(kR), max(kR), log_sum(kR), entropy(kR);
  const auto loss = [&] {
    log_softmax<double>(ConstMatrix(x.data(), kR, kV), targets, logprob.data(), max.data(),
                        log_sum.data(), entropy.data());
    return kScale * dot(logprob, dlogprob);
  };
  loss();
  Doubles dx = x;
  log_softmax_backward<double>(Matrix(dx.data(), kR, kV), targets, dlogprob.data(), max.data(),
                               log_sum.data(), kScale);
  expect_gradient("dlogits", x, dx, loss);
}

// A logit of -inf has probability zero: no part in the entropy, no gradient, never drawn.
TEST_F(GradientTest, LogSoftmaxOfMaskedLogits) {
  const double inf = std::numeric_limits<double>::infinity();
  Doubles x = {-inf, 0.0, std::log(3.0), -inf};
  const std::vector<int32_t> targets = {2};
  double logprob = 0, max = 0, log_sum = 0, entropy = 0;
  log_softmax<double>(ConstMatrix(x.data(), 1, 4), targets, &logprob, &max, &log_sum, &entropy);
  EXPECT_NEAR(logprob, std::log(0.75), 1e-15);
  EXPECT_NEAR(entropy, -0.75 * std::log(0.75) - 0.25 * std::log(0.25), 1e-15);
  for (const double uniform : {0.0, 0.2499, 0.2501, 0.9999999}) {
    EXPECT_EQ(sample_row(x.data(), 4, uniform), uniform < 0.25 ? 1 : 2) << uniform;
  }
  const double one = 1;
  log_softmax_backward<double>(Matrix(x.data(), 1, 4), targets, &one, &max, &log_sum, 1.0);
  const Doubles expected = {0, -0.25, 0.25, 0};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(x[i], expected[i], 1e-15);
}

}  // namespace
}  // namespace r1::ref
