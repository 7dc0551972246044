#include "model/token_scores.h"

#include <algorithm>
#include <vector>

namespace r1 {
namespace {

// Shapes rows of logits, on the host.
void shape_rows(const SamplingParams& params, Ops& ops, Tensor logits) {
  std::vector<float> row(static_cast<size_t>(logits.cols));
  for (int64_t r = 0; r < logits.rows; ++r) {
    ops.download(logits.row(r), row.data(), row.size() * sizeof(float));
    shape_logits(params, row.data(), logits.cols);
    ops.upload(row.data(), logits.row(r), row.size() * sizeof(float));
  }
}

// What the log-softmax of a block of rows leaves, in the backend's memory.
struct BlockScores {
  std::span<const int32_t> targets;
  float *logprob, *max, *log_sum, *entropy;
};

// Calls f(first row, logits, scores) for each block of rows, logits shaped and scored. The host
// gets logprob and entropy (may be null) in the end.
template <class F>
void each_block(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                const SamplingParams& params, Ops& ops, float* logprob, float* entropy, F&& f) {
  R1_CHECK(hidden.rows == std::ssize(targets));
  const int64_t vocab = model.config().vocab_size;
  const int64_t rows = std::min(kLogitRows, hidden.rows);
  Arena memory(ops.memory());
  int32_t* const ids = memory.ints(hidden.rows);
  ops.upload(targets.data(), ids, targets.size_bytes());
  float* const logprobs = memory.floats(hidden.rows);
  float* const entropies = entropy ? memory.floats(hidden.rows) : nullptr;
  float *const max = memory.floats(rows), *const log_sum = memory.floats(rows);
  float* const block = memory.floats(rows * vocab);
  for (int64_t row = 0; row < hidden.rows; row += rows) {
    const int64_t count = std::min(rows, hidden.rows - row);
    const Tensor logits(block, count, vocab);
    compute_logits(model, hidden.slice_rows(row, count), ops, logits);
    if (!params.plain()) shape_rows(params, ops, logits);
    const BlockScores scores = {{ids + row, static_cast<size_t>(count)},
                                logprobs + row,
                                max,
                                log_sum,
                                entropies ? entropies + row : nullptr};
    ops.log_softmax(logits, scores.targets, scores.logprob, max, log_sum, scores.entropy);
    f(row, logits, scores);
  }
  ops.download(logprobs, logprob, targets.size() * sizeof(float));
  if (entropy) ops.download(entropies, entropy, targets.size() * sizeof(float));
}

}  // namespace

void compute_logits(const Model& model, ConstTensor hidden, Ops& ops, Tensor logits) {
  model.head().multiply(ops, hidden, logits);
}

void score_tokens(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                  const SamplingParams& params, Ops& ops, float* logprob, float* entropy) {
  each_block(model, hidden, targets, params, ops, logprob, entropy,
             [](int64_t, Tensor, const BlockScores&) {});
}

void log_distributions(const Model& model, ConstTensor hidden, const SamplingParams& params,
                       Ops& ops, const std::function<void(ConstTensor rows_RV)>& f) {
  const std::vector<int32_t> any(static_cast<size_t>(hidden.rows), 0);
  std::vector<float> unused(any.size()), rows, max, log_sum;
  const auto fetch = [&](const float* from, int64_t count, std::vector<float>& to) {
    to.resize(static_cast<size_t>(count));
    ops.download(from, to.data(), to.size() * sizeof(float));
  };
  each_block(model, hidden, any, params, ops, unused.data(), nullptr,
             [&](int64_t, Tensor logits, const BlockScores& scores) {
               fetch(logits.data, logits.rows * logits.cols, rows);
               fetch(scores.max, logits.rows, max);
               fetch(scores.log_sum, logits.rows, log_sum);
               const Tensor host(rows.data(), logits.rows, logits.cols);
               for (int64_t r = 0; r < host.rows; ++r) {
                 const auto at = static_cast<size_t>(r);
                 float* x = host.row(r);
                 for (int64_t v = 0; v < host.cols; ++v) x[v] = (x[v] - max[at]) - log_sum[at];
               }
               f(host);
             });
}

void score_tokens_backward(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                           const SamplingParams& params, const float* dlogprob, Ops& ops,
                           float* logprob, float* entropy, Tensor dhidden, Gradients& gradients) {
  const float scale =
      params.temperature > 0.0 ? static_cast<float>(1.0 / params.temperature) : 0.0f;
  Buffer derivative = Buffer::of_floats(hidden.rows, ops.memory());
  ops.upload(dlogprob, derivative.data(), derivative.bytes());
  each_block(model, hidden, targets, params, ops, logprob, entropy,
             [&](int64_t row, Tensor logits, const BlockScores& scores) {
               ops.log_softmax_backward(logits, scores.targets, derivative.floats() + row,
                                        scores.max, scores.log_sum, scale);
               ops.matmul_backward_weight(logits, hidden.slice_rows(row, logits.rows),
                                          model.head().packed.dtype,
                                          gradients.of(model.head().master));
               ops.matmul(logits, model.head().transposed, nullptr, false,
                          dhidden.slice_rows(row, logits.rows));
             });
}

}  // namespace r1
