// A mixture of experts against its formula, expert by expert, and the rows that it counts.
#include "model/moe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"
#include "model/attention_mla.h"
#include "model/testing.h"

namespace r1 {
namespace {

constexpr int64_t kRows = 19;

class MoeTest : public testing::TestWithParam<std::string> {
 protected:
  MoeTest() {
    Rng rng(11);
    change_masters(model_, *ops_, [&](std::span<float> masters) {
      for (float& w : masters) w += static_cast<float>(0.2 * rng.normal());
    });
    x_ = random(rng, kRows * width());
    dout_ = random(rng, kRows * width());
  }

  int64_t width() const { return model_.config().hidden_size; }
  const Moe& moe() const { return std::get<Moe>(model_.blocks().back().mlp); }
  int64_t layer() const { return std::ssize(model_.blocks()) - 1; }

  std::vector<float> random(Rng& rng, int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = static_cast<float>(rng.normal());
    return values;
  }
  // A matrix of the backend's, with `cols` columns.
  Tensor matrix(int64_t cols, const std::vector<float>& values = {}) {
    const Tensor t = Pass::tensor(arena_, kRows, cols);
    if (!values.empty()) ops_->upload(values.data(), t.data, values.size() * sizeof(float));
    return t;
  }
  std::vector<float> host(const Tensor& t) {
    return downloaded(*ops_, {t.data, static_cast<size_t>(t.rows * t.cols)});
  }
  std::vector<int32_t> host(std::span<const int32_t> values) {
    std::vector<int32_t> result(values.size());
    ops_->download(values.data(), result.data(), values.size_bytes());
    return result;
  }
  Pass pass() {
    tokens_.assign(static_cast<size_t>(kRows), 0);
    BatchArrays arrays;
    arrays.tokens = tokens_;
    ops_->begin(arrays, batch_);
    return {model_, batch_, 0, expanded_, kv_, *ops_, &arena_, &scratch_, {}};
  }

  ThreadPool pool_{2};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
  Model model_ = Model::create(any_config(GetParam()), 10, *ops_, DType::kF32);
  Arena arena_{ops_->memory()}, scratch_{ops_->memory()};
  KvCache kv_;
  DeviceBatch batch_;
  ExpandedPages expanded_;
  std::vector<int32_t> tokens_;
  std::vector<float> x_, dout_;
};

// out = shared(x) + sum_j weight_j expert_j(x), every expert on every row.
TEST_P(MoeTest, IsTheWeightedSumOfItsExperts) {
  Pass p = pass();
  const Tensor x = matrix(width(), x_), out = matrix(width());
  const Moe::Saved s = forward(p, layer(), moe(), x, out);
  const std::vector<int32_t> expert = host(s.expert);
  const std::vector<float> weight = downloaded(*ops_, {s.weight, expert.size()});
  const int64_t k = model_.config().num_experts_per_tok;

  std::vector<double> expected(x_.size());
  for (const Swiglu& shared : moe().shared) {
    const Tensor y = matrix(width());
    forward(p, layer(), shared, x, y);
    const std::vector<float> values = host(y);
    std::copy(values.begin(), values.end(), expected.begin());
  }
  for (size_t e = 0; e < moe().experts.size(); ++e) {
    const Tensor y = matrix(width());
    forward(p, layer(), moe().experts[e], x, y);
    const std::vector<float> values = host(y);
    for (size_t i = 0; i < expert.size(); ++i) {
      if (expert[i] != static_cast<int32_t>(e)) continue;
      const size_t row = i / static_cast<size_t>(k), w = static_cast<size_t>(width());
      for (size_t c = row * w; c < (row + 1) * w; ++c) {
        expected[c] += static_cast<double>(weight[i]) * static_cast<double>(values[c]);
      }
    }
  }
  const std::vector<float> got = host(out);
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(got[i]), expected[i], 1e-4) << i;
  }
}

// slot and row are each other's inverse, and an expert's copies stand in the batch's order.
TEST_P(MoeTest, CopiesStandByExpertInTheBatchsOrder) {
  Pass p = pass();
  const Moe::Saved s = forward(p, layer(), moe(), matrix(width(), x_), matrix(width()));
  const std::vector<int32_t> expert = host(s.expert), slot = host(s.slot), row = host(s.row);
  const auto experts = moe().experts.size();
  const std::vector<int32_t> first = host(std::span<const int32_t>(s.first, experts + 1));
  const size_t k = expert.size() / static_cast<size_t>(kRows);
  EXPECT_EQ(first[0], 0);
  EXPECT_EQ(first[experts], static_cast<int32_t>(expert.size()));
  for (size_t i = 0; i < expert.size(); ++i) {
    const auto e = static_cast<size_t>(expert[i]), at = static_cast<size_t>(slot[i]);
    EXPECT_EQ(row[at], static_cast<int32_t>(i / k));
    EXPECT_GE(slot[i], first[e]);
    EXPECT_LT(slot[i], first[e + 1]);
    if (slot[i] > first[e]) {
      EXPECT_GT(row[at], row[at - 1]);
    }
  }
}

TEST_P(MoeTest, BackwardCountsTheRowsOfEachExpert) {
  const int64_t experts = std::ssize(moe().experts);
  ExpertLoads loads(std::ssize(model_.blocks()), experts, *ops_);
  Gradients gradients(model_, *ops_);
  Pass p = pass();
  p.loads = &loads;
  const Tensor x = matrix(width(), x_), dout = matrix(width(), dout_), dx = matrix(width());
  const Moe::Saved s = forward(p, layer(), moe(), x, matrix(width()));
  for (int turn = 0; turn < 2; ++turn) {
    backward(p, layer(), moe(), x, s, dout, gradients, dx);
  }
  std::vector<int64_t> expected(static_cast<size_t>(experts));
  for (const int32_t e : host(s.expert)) expected[static_cast<size_t>(e)] += 2;
  EXPECT_EQ(loads.take(layer()), expected);
  EXPECT_EQ(loads.take(layer()), std::vector<int64_t>(static_cast<size_t>(experts)));
  for (const float d : host(dx)) EXPECT_TRUE(std::isfinite(d));
}

INSTANTIATE_TEST_SUITE_P(Architectures, MoeTest,
                         testing::Values("Qwen3MoeForCausalLM", "DeepseekV2ForCausalLM",
                                         "DeepseekV3ForCausalLM"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace r1
