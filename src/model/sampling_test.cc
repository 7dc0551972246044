#include "model/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"

namespace r1 {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Tensor one_row(std::vector<float>& row) {
  return {row.data(), 1, static_cast<int64_t>(row.size())};
}

std::vector<float> shaped(const SamplingParams& params, std::vector<float> row) {
  static ThreadPool pool(2);
  // Rows of the host: whatever R1_ISA says.
  static const auto cpu = make_ops(pool, available_backends().back().isa),
                    ref = make_ops(pool, "ref");
  std::vector<float> plainly = row;
  const LogitShape shape = params.shape();
  cpu->shape_logits(one_row(row), {&shape, 1});
  ref->shape_logits(one_row(plainly), {&shape, 1});
  EXPECT_EQ(std::memcmp(row.data(), plainly.data(), row.size() * sizeof(float)), 0);
  return row;
}

std::vector<int> kept(const SamplingParams& params, const std::vector<float>& row) {
  std::vector<int> ids;
  const std::vector<float> out = shaped(params, row);
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] != -kInf) ids.push_back(static_cast<int>(i));
  }
  return ids;
}

// Logits of these probabilities.
std::vector<float> logs(std::vector<double> p) {
  std::vector<float> row;
  for (const double x : p) row.push_back(static_cast<float>(std::log(x)));
  return row;
}

using Ids = std::vector<int>;

TEST(ShapeLogits, PlainLeavesEveryBit) {
  const std::vector<float> row = {1.5f, -0.0f, kInf, -kInf, 3e38f};
  EXPECT_EQ(shaped({}, row), row);
  EXPECT_TRUE(SamplingParams{}.plain());
  EXPECT_FALSE((SamplingParams{0.5}).plain());
  EXPECT_FALSE((SamplingParams{1.0, 1}).plain());
  EXPECT_FALSE((SamplingParams{1.0, 0, 0.5}).plain());
  EXPECT_FALSE((SamplingParams{1.0, 0, 1.0, 0.5}).plain());
}

TEST(ShapeLogits, TemperatureDivides) {
  EXPECT_EQ(shaped({0.5}, {1.0f, -2.0f, 0.0f}), (std::vector<float>{2.0f, -4.0f, 0.0f}));
  EXPECT_EQ(shaped({4.0}, {1.0f, -2.0f, 0.0f}), (std::vector<float>{0.25f, -0.5f, 0.0f}));
}

TEST(ShapeLogits, TemperatureZeroKeepsTheFirstOfTheLargest) {
  EXPECT_EQ(shaped({0.0}, {1.0f, 3.0f, 2.0f, 3.0f}),
            (std::vector<float>{-kInf, 3.0f, -kInf, -kInf}));
  EXPECT_EQ(kept({0.0}, {-5.0f}), Ids{0});
  EXPECT_EQ(kept({0.0}, {2.0f, 2.0f, 2.0f}), Ids{0});
  // Filters have nothing left to drop.
  EXPECT_EQ(kept({0.0, 2, 0.1, 1.0}, {1.0f, 3.0f, 2.0f, 3.0f}), Ids{1});
}

TEST(ShapeLogits, TopK) {
  const std::vector<float> row = {0.0f, 5.0f, 1.0f, 4.0f, -1.0f};
  EXPECT_EQ(kept({1.0, 1}, row), Ids{1});
  EXPECT_EQ(kept({1.0, 3}, row), (Ids{1, 2, 3}));
  EXPECT_EQ(kept({1.0, 5}, row).size(), 5u);
  EXPECT_EQ(kept({1.0, int64_t{1} << 62}, row).size(), 5u);
  EXPECT_EQ(shaped({1.0, 2}, row), (std::vector<float>{-kInf, 5.0f, -kInf, 4.0f, -kInf}));
  EXPECT_EQ(kept({1.0, 2}, {1.0f, 2.0f, 1.0f, 2.0f, 2.0f}), (Ids{1, 3}));  // ties: lower ids
  EXPECT_EQ(kept({1.0, 4}, {1.0f, 2.0f, 1.0f, 2.0f, 2.0f}), (Ids{0, 1, 3, 4}));
}

TEST(ShapeLogits, TopP) {
  const auto row = logs({0.1, 0.5, 0.15, 0.25});
  EXPECT_EQ(kept({1.0, 0, 1e-9}, row), Ids{1});  // at least one
  EXPECT_EQ(kept({1.0, 0, 0.49}, row), Ids{1});
  EXPECT_EQ(kept({1.0, 0, 0.51}, row), (Ids{1, 3}));  // the one that reaches it is kept
  EXPECT_EQ(kept({1.0, 0, 0.74}, row), (Ids{1, 3}));
  EXPECT_EQ(kept({1.0, 0, 0.76}, row), (Ids{1, 2, 3}));
  EXPECT_EQ(kept({1.0, 0, 0.91}, row).size(), 4u);
  EXPECT_EQ(kept({1.0, 0, 0.6}, {1.0f, 1.0f, 1.0f, 1.0f}), (Ids{0, 1, 2}));  // ties
  // Of the tempered distribution: at temperature 1/2 the first has 0.25 / 0.345 = 0.72.
  EXPECT_EQ(kept({0.5, 0, 0.7}, row), Ids{1});
}

TEST(ShapeLogits, MinP) {
  const auto row = logs({0.1, 0.5, 0.15, 0.25});
  EXPECT_EQ(kept({1.0, 0, 1.0, 0.19}, row).size(), 4u);
  EXPECT_EQ(kept({1.0, 0, 1.0, 0.21}, row), (Ids{1, 2, 3}));
  EXPECT_EQ(kept({1.0, 0, 1.0, 0.49}, row), (Ids{1, 3}));
  EXPECT_EQ(kept({1.0, 0, 1.0, 1.0}, row), Ids{1});
  EXPECT_EQ(kept({1.0, 0, 1.0, 1.0}, {2.0f, 7.0f, 7.0f}), (Ids{1, 2}));  // as likely as the best
}

// top-k, then top-p of what is left, then min-p, as transformers and llama.cpp have it.
TEST(ShapeLogits, FiltersInOrder) {
  const auto row = logs({0.1, 0.5, 0.15, 0.25});
  // Of {0.5, 0.25}, the first has 2/3.
  EXPECT_EQ(kept({1.0, 2, 0.6}, row), Ids{1});
  EXPECT_EQ(kept({1.0, 3, 0.6}, row), (Ids{1, 3}));
  // top-p sees what min-p would drop: 0.5 of all is less than 0.55.
  EXPECT_EQ(kept({1.0, 0, 0.55, 0.4}, row), (Ids{1, 3}));
  EXPECT_EQ(kept({1.0, 0, 0.95, 0.4}, row), (Ids{1, 3}));
  EXPECT_EQ(kept({1.0, 1, 0.95, 0.1}, row), Ids{1});
}

TEST(ShapeLogits, WhateverTheRow) {
  Rng rng(1);
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<float> row(1 + rng.below(40));
    for (float& x : row) x = static_cast<float>(std::round(4.0 * rng.normal()) / 2.0);  // ties
    const SamplingParams params{0.2 + 2.0 * rng.uniform(), static_cast<int64_t>(rng.below(20)),
                                0.05 + 0.95 * rng.uniform(), rng.uniform()};
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    const std::vector<float> out = shaped(params, row);
    ASSERT_NE(out[static_cast<size_t>(best)], -kInf);
    int64_t count = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      if (out[i] == -kInf) continue;
      ++count;
      // What is kept is no less likely than what is dropped, and of equals has the lower ids.
      for (size_t j = 0; j < row.size(); ++j) {
        if (out[j] == -kInf) {
          ASSERT_TRUE(row[i] > row[j] || (row[i] == row[j] && i < j));
        }
      }
    }
    if (params.top_k > 0) {
      ASSERT_LE(count, params.top_k);
    }
  }
}

// Tokens drawn and scored are those of the masked logits, though nothing is masked.
TEST(TokenDistributions, GreedyRowsAreAsMasked) {
  constexpr int64_t kRows = 40, kVocab = 50;
  ThreadPool pool(2);
  const auto ops = make_ops(pool, available_backends().back().isa);
  Rng rng(3);
  std::vector<float> logits(kRows * kVocab), uniform(kRows);
  std::vector<SamplingParams> params(kRows);
  std::vector<const SamplingParams*> pointers;
  std::vector<LogitShape> shapes;
  for (float& x : logits) x = static_cast<float>(std::round(2 * rng.normal()));
  logits[kVocab + 7] = std::nanf("");
  logits[2 * kVocab + 7] = logits[2 * kVocab + 9] = 1e30f;
  std::fill_n(logits.begin() + 3 * kVocab, kVocab, -kInf);
  for (size_t r = 0; r < params.size(); ++r) {
    params[r] = rng.below(3) || r < 3 ? SamplingParams{0.0, 5, 0.5} : SamplingParams{0.7, 5, 0.9};
    pointers.push_back(&params[r]);
    shapes.push_back(params[r].shape());
    uniform[r] = static_cast<float>(rng.uniform());
  }
  std::vector<float> masked = logits, max(kRows), sum(kRows), expected(kRows), logprob(kRows);
  std::vector<int32_t> expected_token(kRows), token(kRows), other(kRows);
  const Tensor all(masked.data(), kRows, kVocab);
  ops->shape_logits(all, shapes);
  ops->sample(all, uniform.data(), expected_token.data());
  const TokenDistributions distributions(*ops, {logits.data(), kRows, kVocab}, pointers);
  distributions.sample(uniform.data(), token.data());
  EXPECT_EQ(token, expected_token);
  for (int32_t& t : other) t = static_cast<int32_t>(rng.below(kVocab));
  for (const auto& tokens : {token, other}) {
    ops->log_softmax(all, tokens, expected.data(), max.data(), sum.data(), nullptr);
    distributions.score(tokens, logprob.data());
    for (size_t r = 0; r < params.size(); ++r) {
      EXPECT_TRUE(logprob[r] == expected[r] || (std::isnan(logprob[r]) && std::isnan(expected[r])))
          << "row " << r << ": " << logprob[r] << ", not " << expected[r];
    }
  }
}

// A diverged model's logits: nothing is promised but that it ends.
TEST(ShapeLogits, SurvivesNaN) {
  std::vector<float> row(500);
  Rng rng(2);
  for (float& x : row) x = rng.below(3) ? static_cast<float>(rng.normal()) : std::nanf("");
  for (const SamplingParams& p : {SamplingParams{0.0}, SamplingParams{0.7, 20},
                                  SamplingParams{1.0, 0, 0.9}, SamplingParams{1.0, 0, 1.0, 0.1}}) {
    EXPECT_FALSE(kept(p, row).empty());
  }
  EXPECT_EQ(kept({1.0, 2}, {std::nanf(""), 1.0f, std::nanf(""), 0.0f}), (Ids{1, 3}));
}

TEST(SamplingParams, Check) {
  auto error = [](const SamplingParams& p) -> std::string {
    try {
      p.check();
    } catch (const InputError& e) {
      return e.what();
    }
    return "no error";
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const SamplingParams& p :
       {SamplingParams{}, SamplingParams{0.0}, SamplingParams{100.0, 5, 1e-9, 1.0}}) {
    EXPECT_EQ(error(p), "no error");
  }
  // 1 / 1e-40 is no float: logits would become NaN.
  for (const double t : {-0.1, 100.5, nan, 1e300, -1e300, 1e-40}) {
    EXPECT_EQ(error({t}).find("temperature must be "), 0u) << error({t});
  }
  EXPECT_EQ(error({1.0, -1}).find("top_k must be "), 0u);
  for (const double p : {0.0, -1.0, 1.01, nan}) {
    EXPECT_EQ(error({1.0, 0, p}).find("top_p must be "), 0u);
  }
  for (const double p : {-0.1, 1.01, nan}) {
    EXPECT_EQ(error({1.0, 0, 1.0, p}).find("min_p must be "), 0u);
  }
}

}  // namespace
}  // namespace r1
