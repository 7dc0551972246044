#include "model/token_scores.h"

#include <algorithm>
#include <vector>

namespace r1 {
namespace {

// Calls f(first row, logits, targets) for each block of rows.
template <class F>
void each_block(const Model& model, ConstTensor hidden, std::span<const int32_t> targets, Ops& ops,
                F&& f) {
  R1_CHECK(hidden.rows == static_cast<int64_t>(targets.size()));
  const int64_t vocab = model.config().vocab_size;
  const int64_t rows = std::min(kLogitRows, hidden.rows);
  Buffer memory = Buffer::of_floats(rows * vocab);
  for (int64_t row = 0; row < hidden.rows; row += rows) {
    const int64_t count = std::min(rows, hidden.rows - row);
    const Tensor logits(memory.floats(), count, vocab);
    compute_logits(model, hidden.slice_rows(row, count), ops, logits);
    f(row, logits, targets.subspan(static_cast<size_t>(row), static_cast<size_t>(count)));
  }
}

void shape(Tensor logits, const SamplingParams& params, Ops& ops) {
  if (params.plain()) return;
  const std::vector<LogitShape> shapes(static_cast<size_t>(logits.rows), params.shape());
  ops.shape_logits(logits, shapes);
}

// Of the shaped softmaxes, for the backward pass.
struct Softmax {
  std::vector<float> max, log_sum;
  explicit Softmax(int64_t rows) : max(static_cast<size_t>(rows)), log_sum(max.size()) {}
};

// Shapes a block and scores it.
Softmax score_block(Tensor logits, std::span<const int32_t> targets, const SamplingParams& params,
                    Ops& ops, float* logprob, float* entropy) {
  Softmax softmax(logits.rows);
  shape(logits, params, ops);
  ops.log_softmax(logits, targets, logprob, softmax.max.data(), softmax.log_sum.data(), entropy);
  return softmax;
}

// At temperature 0, without a softmax: the most likely token has it all.
void score_greedy(ConstTensor logits, std::span<const int32_t> targets, Ops& ops, float* logprob,
                  float* entropy) {
  std::vector<int32_t> likeliest(targets.size());
  std::vector<float> value(targets.size());
  find_likeliest(ops, logits, likeliest.data(), value.data());
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
  each_block(model, hidden, targets, ops,
             [&](int64_t row, Tensor logits, std::span<const int32_t> block) {
               float* const entropies = entropy ? entropy + row : nullptr;
               if (params.greedy()) {
                 score_greedy(logits, block, ops, logprob + row, entropies);
               } else {
                 score_block(logits, block, params, ops, logprob + row, entropies);
               }
             });
}

void log_distributions(const Model& model, ConstTensor hidden, const SamplingParams& params,
                       Ops& ops, const std::function<void(ConstTensor rows_RV)>& f) {
  const std::vector<int32_t> any(static_cast<size_t>(hidden.rows), 0);
  std::vector<float> unused(any.size());
  each_block(model, hidden, any, ops, [&](int64_t, Tensor logits, std::span<const int32_t> block) {
    const Softmax s = score_block(logits, block, params, ops, unused.data(), nullptr);
    for (int64_t r = 0; r < logits.rows; ++r) {
      const auto i = static_cast<size_t>(r);
      float* x = logits.row(r);
      for (int64_t v = 0; v < logits.cols; ++v) x[v] = (x[v] - s.max[i]) - s.log_sum[i];
    }
    f(logits);
  });
}

void score_tokens_backward(const Model& model, ConstTensor hidden, std::span<const int32_t> targets,
                           const SamplingParams& params, const float* dlogprob, Ops& ops,
                           float* logprob, float* entropy, Tensor dhidden, Gradients& gradients) {
  if (params.greedy()) {  // no small change of a logit changes what is most likely
    score_tokens(model, hidden, targets, params, ops, logprob, entropy);
    for (int64_t r = 0; r < dhidden.rows; ++r) {
      ops.zero(dhidden.row(r), static_cast<size_t>(dhidden.cols) * sizeof(float));
    }
    return;
  }
  each_block(
      model, hidden, targets, ops, [&](int64_t row, Tensor logits, std::span<const int32_t> block) {
        const Softmax s = score_block(logits, block, params, ops, logprob + row,
                                      entropy ? entropy + row : nullptr);
        ops.log_softmax_backward(logits, block, dlogprob + row, s.max.data(), s.log_sum.data(),
                                 params.shape().factor);
        ops.matmul_backward_weight(logits, hidden.slice_rows(row, logits.rows),
                                   model.head().packed.dtype, gradients.of(model.head().master));
        ops.matmul(logits, model.head().transposed, nullptr, false,
                   dhidden.slice_rows(row, logits.rows));
      });
}

}  // namespace r1
