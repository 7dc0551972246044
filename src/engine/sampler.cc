#include "engine/sampler.h"

#include <algorithm>

#include "base/rng.h"
#include "model/token_scores.h"

namespace r1 {

Sampler::Sampler(const Model& model, Ops& ops)
    : model_(model),
      ops_(ops),
      logits_(Buffer::of_floats(kLogitRows * model.config().vocab_size, ops.memory())) {
  uniform_.resize(static_cast<size_t>(kLogitRows));
}

void Sampler::draw(ConstTensor hidden, std::span<const DrawRow> rows) {
  ids_.resize(rows.size());
  logprobs_.resize(rows.size());
  const size_t block = static_cast<size_t>(kLogitRows);
  for (size_t first = 0; first < rows.size(); first += block) {
    const auto part = rows.subspan(first, std::min(block, rows.size() - first));
    draw_block({hidden.row(static_cast<int64_t>(first)), std::ssize(part), hidden.cols}, part,
               first);
  }
}

void Sampler::draw_block(ConstTensor hidden, std::span<const DrawRow> rows, size_t first) {
  const int64_t vocab = model_.config().vocab_size;
  const Tensor logits(logits_.floats(), hidden.rows, vocab);
  compute_logits(model_, hidden, ops_, logits);
  std::vector<const SamplingParams*> params;
  for (size_t i = 0; i < rows.size(); ++i) {
    params.push_back(rows[i].sampling);
    const auto draw = philox(rows[i].seed, 0, rows[i].drawn);
    uniform_[i] = static_cast<float>(draw[0] >> 8) * 0x1p-24f;
  }
  const std::span<int32_t> ids = std::span(ids_).subspan(first, rows.size());
  const TokenDistributions distributions(ops_, logits, params);
  distributions.sample(uniform_.data(), ids.data());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].text != nullptr) ids[i] = rows[i].text->replace(ids[i]);
  }
  distributions.score(ids, logprobs_.data() + first);
}

}  // namespace r1
