#include "model/token_scores.h"

#include <algorithm>
#include <vector>

namespace r1 {
namespace {

// Calls f(first row, logits) for each block of rows.
template <class F>
void each_logits(const Model& model, ConstTensor hidden, Ops& ops, F&& f) {
  const int64_t vocab = model.config().vocab_size;
  const int64_t rows = std::min(kLogitRows, hidden.rows);
  Buffer memory = Buffer::of_floats(rows * vocab, ops.memory());
  for (int64_t row = 0; row < hidden.rows; row += rows) {
    const int64_t count = std::min(rows, hidden.rows - row);
    const Tensor logits(memory.floats(), count, vocab);
    compute_logits(model, hidden.slice_rows(row, count), ops, logits);
    f(row, logits);
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
  R1_CHECK(hidden.rows == static_cast<int64_t>(targets.size()));
  Arena memory(ops.memory());
  auto* const ids = reinterpret_cast<int32_t*>(memory.floats(hidden.rows));
  ops.upload(targets.data(), ids, targets.size_bytes());
  const int64_t most = std::min(kLogitRows, hidden.rows);
  float *const max = memory.floats(most), *const log_sum = memory.floats(most);
  float* const logprobs = memory.floats(hidden.rows);
  float* const entropies = entropy ? memory.floats(hidden.rows) : nullptr;
  each_logits(model, hidden, ops, [&](int64_t row, Tensor logits) {
    const auto count = static_cast<size_t>(logits.rows);
    const BlockScores scores = {
        {ids + row, count}, logprobs + row, max, log_sum, entropies ? entropies + row : nullptr};
    if (!params.plain()) ops.shape_logits(logits, std::vector<LogitShape>(count, params.shape()));
    ops.log_softmax(logits, scores.targets, scores.logprob, max, log_sum, scores.entropy);
    f(row, logits, scores);
  });
  ops.download(logprobs, logprob, targets.size() * sizeof(float));
  if (entropy) ops.download(entropies, entropy, targets.size() * sizeof(float));
}

// At temperature 0, without a softmax: the most likely token has it all.
void score_greedy(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                  Ops& ops, float* logprob, float* entropy) {
  R1_CHECK(hidden.rows == static_cast<int64_t>(targets.size()));
  std::vector<int32_t> likeliest(targets.size());
  std::vector<float> value(targets.size());
  each_logits(model, hidden, ops, [&](int64_t row, Tensor logits) {
    find_likeliest(ops, logits, likeliest.data() + row, value.data() + row);
  });
  for (size_t r = 0; r < targets.size(); ++r) {
    logprob[r] = greedy_logprob(targets[r], likeliest[r], value[r]);
    if (entropy) entropy[r] = greedy_logprob(likeliest[r], likeliest[r], value[r]);
  }
}

}  // namespace

void compute_logits(const Model& model, ConstTensor hidden, Ops& ops, Tensor logits) {
  model.head().multiply(ops, hidden, logits);
}

void score_tokens(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                  const SamplingParams& params, Ops& ops, float* logprob, float* entropy) {
  if (params.greedy()) return score_greedy(model, hidden, targets, ops, logprob, entropy);
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
  if (params.greedy()) {  // no small change of a logit changes what is most likely
    score_greedy(model, hidden, targets, ops, logprob, entropy);
    for (int64_t r = 0; r < dhidden.rows; ++r) {
      ops.zero(dhidden.row(r), static_cast<size_t>(dhidden.cols) * sizeof(float));
    }
    return;
  }
  Buffer derivative = Buffer::of_floats(hidden.rows, ops.memory());
  ops.upload(dlogprob, derivative.data(), derivative.bytes());
  each_block(model, hidden, targets, params, ops, logprob, entropy,
             [&](int64_t row, Tensor logits, const BlockScores& scores) {
               ops.log_softmax_backward(logits, scores.targets, derivative.floats() + row,
                                        scores.max, scores.log_sum, params.shape().factor);
               ops.matmul_backward_weight(logits, hidden.slice_rows(row, logits.rows),
                                          model.head().packed.dtype,
                                          gradients.of(model.head().master));
               ops.matmul(logits, model.head().transposed, nullptr, false,
                          dhidden.slice_rows(row, logits.rows));
             });
}

}  // namespace r1
