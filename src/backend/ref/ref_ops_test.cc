// RefOps against numbers worked out by hand: packed layouts, rounding to bf16, and each op's float
// face over ref_math.h.
#include "backend/ref/ref_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace r1 {
namespace {

TEST(RefOps, SaysWhatItIs) {
  const auto ops = make_ref_ops();
  EXPECT_STREQ(ops->name(), "ref");
  EXPECT_STREQ(ops->isa(), "scalar");
  EXPECT_EQ(ops->threads(), 1);
}

// A matrix [17, 3] whose element (n, k) is 10 n + k.
TEST(RefOps, PacksPanelsOfSixteenColumns) {
  std::vector<float> w(17 * 3);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(10 * (i / 3) + i % 3);
  std::vector<float> packed(2 * 3 * 16, -1.0f);
  ASSERT_EQ(panel_bytes(DType::kF32, 17, 3), static_cast<int64_t>(packed.size() * 4));
  RefOps().pack(ConstTensor(w.data(), 17, 3), {DType::kF32, 17, 3, packed.data()});
  EXPECT_EQ(packed[0], 0);              // panel 0, k 0, lane 0
  EXPECT_EQ(packed[2 * 16 + 5], 52);    // panel 0, k 2, lane 5: n = 5
  EXPECT_EQ(packed[3 * 16], 160);       // panel 1, k 0, lane 0: n = 16
  EXPECT_EQ(packed[4 * 16], 161);       // k 1
  EXPECT_EQ(packed[3 * 16 + 1], 0.0f);  // n = 17: padding
}

TEST(RefOps, PacksTransposedPairsOfBf16) {
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};  // [3, 2], so n = 2, k = 3, padded to 4
  std::vector<uint16_t> packed(4 * 16, 0xffff);
  ASSERT_EQ(panel_bytes(DType::kBF16, 2, 3), static_cast<int64_t>(packed.size() * 2));
  RefOps().pack_transposed(ConstTensor(w.data(), 3, 2), {DType::kBF16, 2, 3, packed.data()});
  EXPECT_EQ(bf16_to_f32(packed[0]), 1);   // k 0, n 0
  EXPECT_EQ(bf16_to_f32(packed[1]), 3);   // k 1, n 0
  EXPECT_EQ(bf16_to_f32(packed[2]), 2);   // k 0, n 1
  EXPECT_EQ(bf16_to_f32(packed[32]), 5);  // k 2, n 0
  EXPECT_EQ(packed[33], 0);               // k 3: padding
  EXPECT_EQ(packed[4], 0);                // n 2: padding
}

// 1 + 2^-8 lies between two bf16 numbers and goes to the even one, 1.
TEST(RefOps, ProductsInBf16RoundBothSides) {
  const float x[] = {1 + 0x1p-8f, 3}, w[] = {2 + 0x1p-7f, 0.5f};
  std::vector<uint16_t> packed(2 * 16);
  const PackedWeight weight{DType::kBF16, 1, 2, packed.data()};
  RefOps ops;
  ops.pack(ConstTensor(w, 1, 2), weight);
  const float bias = 0.25f;
  float out = 100;
  ops.matmul(ConstTensor(x, 1, 2), weight, &bias, true, Tensor(&out, 1, 1));
  EXPECT_EQ(out, 100 + 0.25f + 1 * 2 + 3 * 0.5f);
}

TEST(RefOps, RmsNorm) {
  const float x[] = {3, 4, -6, 8}, w[] = {1, 2};
  float out[4], rstd[2];
  RefOps().rms_norm(ConstTensor(x, 1, 4), w, 2, 0, Tensor(out, 1, 4), rstd);
  EXPECT_FLOAT_EQ(rstd[0], 1 / std::sqrt(12.5f));
  EXPECT_FLOAT_EQ(rstd[1], 1 / std::sqrt(50.0f));
  EXPECT_FLOAT_EQ(out[1], 4 * 2 / std::sqrt(12.5f));
  EXPECT_FLOAT_EQ(out[2], -6 / std::sqrt(50.0f));
}

// Position 1 is a quarter turn: (a, b) becomes (-b, a), and back.
TEST(RefOps, RopeTurnsHalvesOfAHead) {
  const float table[] = {1, 1, 0, 0, 0, 0, 1, 1};
  const std::vector<int32_t> positions = {1, 0};
  const std::vector<float> before = {1, 2, 3, 4, 1, 2, 3, 4};
  std::vector<float> x = before;
  RefOps ops;
  ops.rope(Tensor(x.data(), 2, 4), 4, false, positions, ConstTensor(table, 2, 4));
  EXPECT_EQ(x, (std::vector<float>{-3, -4, 1, 2, 1, 2, 3, 4}));
  ops.rope_backward(Tensor(x.data(), 2, 4), 4, false, positions, ConstTensor(table, 2, 4));
  EXPECT_EQ(x, before);
}

// The last two elements of a head of three, as neighbours.
TEST(RefOps, RopeTurnsInterleavedPairsOfATail) {
  const float table[] = {1, 0, 0, 1};
  const std::vector<int32_t> positions = {1};
  std::vector<float> x = {9, 1, 2, 8, 3, 4};
  RefOps().rope(Tensor(x.data(), 1, 6), 3, true, positions, ConstTensor(table, 2, 2));
  EXPECT_EQ(x, (std::vector<float>{9, -2, 1, 8, -4, 3}));
}

// Groups {0, 1}, {2, 3}, {4, 5}. The best expert's group comes first by its best, not by its pair;
// the bias moves the choice and not the weights.
TEST(RefOps, RoutesWithinTheBestGroups) {
  const float logits[] = {3, -5, 2, 2, 1, 2};
  const auto chosen = [&](bool pairs, const std::vector<float>& bias) {
    std::vector<int32_t> expert(2);
    std::vector<float> weight(2);
    RefOps().route(ConstTensor(logits, 1, 6), bias.empty() ? nullptr : bias.data(),
                   {.sigmoid = true,
                    .experts = 2,
                    .groups = 3,
                    .groups_per_row = 1,
                    .group_pairs = pairs,
                    .normalize = true,
                    .scale = 3},
                   expert.data(), weight.data());
    EXPECT_FLOAT_EQ(weight[0] + weight[1], 3);
    const auto s = [&](int32_t e) { return 1 / (1 + std::exp(-logits[e])); };
    EXPECT_FLOAT_EQ(weight[0] / weight[1], s(expert[0]) / s(expert[1]));
    return expert;
  };
  EXPECT_EQ(chosen(false, {}), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(chosen(true, {}), (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(chosen(true, {0, 0, 0, 0, 1, 0}), (std::vector<int32_t>{4, 5}));
}

TEST(RefOps, EqualExpertsGoByTheirIndex) {
  const float logits[] = {1, 2, 2, 1, 2};
  std::vector<int32_t> expert(2);
  std::vector<float> weight(2);
  RefOps().route(ConstTensor(logits, 1, 5), nullptr, {.experts = 2}, expert.data(), weight.data());
  EXPECT_EQ(expert, (std::vector<int32_t>{1, 2}));
}

TEST(RefOps, SwigluOfExtremeGates) {
  const float gate_up[] = {0, 100, -100, 1, 2, 3, 4, 5};
  float out[4];
  RefOps().swiglu(ConstTensor(gate_up, 1, 8), Tensor(out, 1, 4));
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[1], 300);
  EXPECT_NEAR(out[2], 0, 1e-30);
  EXPECT_FLOAT_EQ(out[3], 5 / (1 + std::exp(-1.0f)));
}

TEST(RefOps, SampleNeverLeavesTheTokensWithProbability) {
  const float inf = std::numeric_limits<float>::infinity();
  const float logits[] = {-inf, 1, 1, -inf};
  const float uniform[] = {0, 0.49f, 0.51f, 1};  // 1 is what rounding may make of a draw
  int32_t token[4];
  for (int i = 0; i < 4; ++i) RefOps().sample(ConstTensor(logits, 1, 4), uniform + i, token + i);
  EXPECT_EQ(token[0], 1);
  EXPECT_EQ(token[1], 1);
  EXPECT_EQ(token[2], 2);
  EXPECT_EQ(token[3], 2);
}

TEST(RefOps, SumSquares) {
  const std::vector<float> x(10001, 0.5f);
  EXPECT_EQ(RefOps().sum_squares(x), 10001 * 0.25);
}

// The first step of Adam moves by the learning rate against the gradient's sign, whatever its size;
// weight decay adds its share of the weight.
TEST(RefOps, AdamWsFirstStep) {
  const AdamW hyper{.learning_rate = 0.1f,
                    .beta1 = 0.9f,
                    .beta2 = 0.99f,
                    .epsilon = 0,
                    .weight_decay = 0.5f,
                    .gradient_scale = 2,
                    .bias1 = 0.1f,
                    .bias2 = 0.01f};
  std::vector<float> w = {1, 1}, m(2), v(2);
  const std::vector<float> grad = {3, -0.001f};
  RefOps().adamw(hyper, w, grad, m, v);
  EXPECT_NEAR(w[0], 1 - 0.1 * (1 + 0.5), 1e-6);
  EXPECT_NEAR(w[1], 1 - 0.1 * (-1 + 0.5), 1e-6);
  EXPECT_NEAR(m[0], 0.1 * 6, 1e-6);
  EXPECT_NEAR(v[0], 0.01 * 36, 1e-6);
}

}  // namespace
}  // namespace r1
