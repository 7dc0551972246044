// Every backend and instruction set that this machine can run against ref, over all cases.
#include "backend/conformance.h"

#include "backend/backend.h"
#include "backend/ref/ref_ops.h"

namespace r1 {

void PrintTo(const BackendChoice& choice, std::ostream* out) {
  *out << choice.backend << " " << choice.isa;
}

namespace {

std::string choice_name(const testing::TestParamInfo<BackendChoice>& info) {
  return info.param.backend + "_" + info.param.isa;
}

// Equal (infinities too), or within the tolerance, which is of the larger of the expected element
// and the finite elements' root mean square.
void expect_close(const Output& actual, const Output& expected, double tolerance) {
  ASSERT_EQ(actual.values.size(), expected.values.size()) << expected.name;
  double squares = 0, count = 0;
  for (const double v : expected.values) {
    if (std::isfinite(v)) squares += v * v, ++count;
  }
  const double rms = count > 0 ? std::sqrt(squares / count) : 0;
  int64_t wrong = 0, first = -1;
  double worst = 0;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    const double a = actual.values[i], e = expected.values[i];
    if (a == e) continue;
    const double error = std::abs(a - e) / std::max(std::abs(e), rms);
    if (error <= tolerance) continue;  // false for a NaN
    if (wrong++ == 0) first = static_cast<int64_t>(i);
    worst = std::max(worst, error);
  }
  if (wrong == 0) return;
  const auto at = static_cast<size_t>(first);
  ADD_FAILURE() << expected.name << ": " << wrong << " of " << expected.values.size()
                << " elements beyond " << tolerance << ", the worst by " << worst << "; element "
                << first << " is " << actual.values[at] << ", expected " << expected.values[at];
}

struct Conformance : testing::TestWithParam<BackendChoice> {
  void compare(const std::vector<Case>& cases) {
    for (const Case& c : cases) {
      SCOPED_TRACE(c.name);
      const std::vector<Output> actual = c.run(*ops, all_rows(c));
      const std::vector<Output> expected = c.run(*ref, all_rows(c));
      ASSERT_EQ(actual.size(), expected.size());
      for (size_t i = 0; i < actual.size(); ++i) {
        expect_close(actual[i], expected[i], c.tolerance);
      }
    }
  }

  ThreadPool pool{2};
  std::unique_ptr<Ops> ops = make_ops(pool, GetParam().backend == "ref" ? "ref" : GetParam().isa);
  std::unique_ptr<Ops> ref = make_ref_ops();
};

TEST_P(Conformance, RunsWhatWasAskedFor) {
  EXPECT_EQ(ops->name(), GetParam().backend);
  EXPECT_EQ(ops->isa(), GetParam().isa);
  EXPECT_EQ(ops->threads(), GetParam().backend == "ref" ? 1 : 2);
}
TEST_P(Conformance, Products) {
  compare(product_cases());
}
TEST_P(Conformance, MappedProducts) {
  compare(mapped_cases());
}
TEST_P(Conformance, Rows) {
  compare(row_cases());
}
TEST_P(Conformance, Experts) {
  compare(expert_cases());
}
TEST_P(Conformance, Attention) {
  compare(attention_cases());
}
TEST_P(Conformance, Loss) {
  compare(loss_cases());
}

// 100,000 draws fall on the tokens as their probabilities say, and on masked ones never.
TEST_P(Conformance, SamplesTheSoftmax) {
  constexpr int64_t kDraws = 100000, kWidth = 21;
  Rng rng(15);
  std::vector<float> logits = random_floats(rng, kWidth);
  logits[0] = logits[7] = logits[20] = -std::numeric_limits<float>::infinity();
  const ConstTensor all(logits.data(), kDraws, kWidth, 0);  // one row, over and over
  std::vector<float> uniform(kDraws);
  for (float& u : uniform) u = static_cast<float>(rng.below(1 << 24)) * 0x1p-24f;
  std::vector<int32_t> token(kDraws);
  ops->sample(all, uniform.data(), token.data());
  std::vector<double> counts(kWidth);
  for (const int32_t t : token) counts.at(static_cast<size_t>(t)) += 1;
  double total = 0;
  for (const float x : logits) total += std::exp(static_cast<double>(x));
  for (size_t v = 0; v < counts.size(); ++v) {
    const double p = std::exp(static_cast<double>(logits[v])) / total;
    EXPECT_NEAR(counts[v], p * kDraws, 5 * std::sqrt(p * (1 - p) * kDraws)) << "token " << v;
  }
}

// An op with nothing to do does nothing.
TEST_P(Conformance, EmptyBatches) {
  Matrix none(0, 5);
  float weight[5] = {1, 2, 3, 4, 5};
  Matrix dw(5, 5);
  ops->matmul_backward_weight(none, none, DType::kF32, dw);
  ops->matmul_backward_bias(none, weight);
  ops->add(none, none);
  ops->rms_norm(none, weight, 1, 1e-5f, none, nullptr);
  ops->attention(none, {}, KvLayer{nullptr, nullptr, 1, 5, 5}, 1, none, nullptr);
  ops->shape_logits(none, {});
  ops->argmax(none, nullptr, nullptr);
  ops->sample(none, nullptr, nullptr);
  EXPECT_EQ(dw.values(), std::vector<double>(25));
  EXPECT_EQ(weight[4], 5);
}

INSTANTIATE_TEST_SUITE_P(, Conformance, testing::ValuesIn(available_backends()), choice_name);

}  // namespace
}  // namespace r1
