#include "model/scorer.h"

#include <algorithm>
#include <numeric>

#include "model/token_scores.h"

namespace r1 {

std::vector<float> Scorer::score(std::span<const int32_t> ids, const SamplingParams& sampling,
                                 const std::function<void(ConstTensor rows_RV)>& full) {
  constexpr int64_t kChunk = 512;
  const int64_t count = static_cast<int64_t>(ids.size()) - 1, width = model_.config().hidden_size;
  std::vector<float> logprob(static_cast<size_t>(std::max<int64_t>(0, count)));
  if (count <= 0) return logprob;
  if (kv_.pages() < pages_for(count)) {
    kv_ = KvCache();
    kv_ = KvCache(model_.config(), model_.config().num_hidden_layers, pages_for(count),
                  ops_.memory());
  }
  if (hidden_.bytes() == 0) hidden_ = Buffer::of_floats(kChunk * width, ops_.memory());
  std::vector<int32_t> pages(static_cast<size_t>(pages_for(count)));
  std::iota(pages.begin(), pages.end(), 0);
  for (int64_t first = 0; first < count; first += kChunk) {
    const int64_t rows = std::min(kChunk, count - first);
    const auto at = static_cast<size_t>(first), n = static_cast<size_t>(rows);
    Batch batch;
    batch.add(ids.subspan(at, n), first, pages.data(), 0);
    batch.outputs.resize(n);
    std::iota(batch.outputs.begin(), batch.outputs.end(), 0);
    const Tensor hidden(hidden_.floats(), rows, width);
    forward(model_, batch, kv_, ops_, activations_, hidden);
    score_tokens(model_, hidden, ids.subspan(at + 1, n), sampling, ops_, logprob.data() + first,
                 nullptr);
    if (full) log_distributions(model_, hidden, sampling, ops_, full);
  }
  return logprob;
}

}  // namespace r1
