#include "model/token_scores.h"

#include <algorithm>
#include <vector>

namespace r1 {
namespace {

// Calls f(first row, logits, max, log_sum) for each block of rows, logits shaped and scored.
template <class F>
void each_block(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                const SamplingParams& params, Ops& ops, float* logprob, float* entropy, F&& f) {
  R1_CHECK(hidden.rows == static_cast<int64_t>(targets.size()));
  const int64_t vocab = model.config().vocab_size;
  const int64_t rows = std::min(kLogitRows, hidden.rows);
  Buffer memory = Buffer::of_floats(rows * vocab);
  std::vector<float> max(static_cast<size_t>(rows)), log_sum(static_cast<size_t>(rows));
  for (int64_t row = 0; row < hidden.rows; row += rows) {
    const int64_t count = std::min(rows, hidden.rows - row);
    const Tensor logits(memory.floats(), count, vocab);
    compute_logits(model, hidden.slice_rows(row, count), ops, logits);
    if (!params.plain()) {
      for (int64_t i = 0; i < count; ++i) shape_logits(params, logits.row(i), vocab);
    }
    ops.log_softmax(logits, targets.subspan(static_cast<size_t>(row), static_cast<size_t>(count)),
                    logprob + row, max.data(), log_sum.data(), entropy ? entropy + row : nullptr);
    f(row, logits, max.data(), log_sum.data());
  }
}

}  // namespace

void compute_logits(const Model& model, ConstTensor hidden, Ops& ops, Tensor logits) {
  model.head().multiply(ops, hidden, logits);
}

void score_tokens(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                  const SamplingParams& params, Ops& ops, float* logprob, float* entropy) {
  each_block(model, hidden, targets, params, ops, logprob, entropy,
             [](int64_t, Tensor, const float*, const float*) {});
}

void log_distributions(const Model& model, ConstTensor hidden, const SamplingParams& params,
                       Ops& ops, const std::function<void(ConstTensor rows_RV)>& f) {
  const std::vector<int32_t> any(static_cast<size_t>(hidden.rows), 0);
  std::vector<float> unused(any.size());
  each_block(model, hidden, any, params, ops, unused.data(), nullptr,
             [&](int64_t, Tensor logits, const float* max, const float* log_sum) {
               for (int64_t r = 0; r < logits.rows; ++r) {
                 float* x = logits.row(r);
                 for (int64_t v = 0; v < logits.cols; ++v) x[v] = (x[v] - max[r]) - log_sum[r];
               }
               f(logits);
             });
}

void score_tokens_backward(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                           const SamplingParams& params, const float* dlogprob, Ops& ops,
                           float* logprob, float* entropy, Tensor dhidden, Gradients& gradients) {
  const float scale =
      params.temperature > 0.0 ? static_cast<float>(1.0 / params.temperature) : 0.0f;
  each_block(model, hidden, targets, params, ops, logprob, entropy,
             [&](int64_t row, Tensor logits, const float* max, const float* log_sum) {
               const auto block =
                   targets.subspan(static_cast<size_t>(row), static_cast<size_t>(logits.rows));
               ops.log_softmax_backward(logits, block, dlogprob + row, max, log_sum, scale);
               ops.matmul_backward_weight(logits, hidden.slice_rows(row, logits.rows),
                                          model.head().packed.dtype,
                                          gradients.of(model.head().master));
               ops.matmul(logits, model.head().transposed, nullptr, false,
                          dhidden.slice_rows(row, logits.rows));
             });
}

}  // namespace r1
