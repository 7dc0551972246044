// For tests only: a tiny model, and batches to train it on.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/model.h"
#include "model/testing.h"
#include "train/trainer.h"

namespace r1 {

inline ModelConfig tiny_config(int64_t vocab = 64,
                               const std::string& architecture = "Qwen3ForCausalLM") {
  return any_config(architecture, {{"hidden_size", 32},
                                   {"num_attention_heads", 4},
                                   {"head_dim", 8},
                                   {"intermediate_size", 48},
                                   {"vocab_size", vocab},
                                   {"tie_word_embeddings", true}});
}

// Weights large enough that attention and logits are far from uniform.
inline Model tiny_model(Ops& ops, const ModelConfig& config, DType dtype = DType::kF32) {
  Model m = Model::create(config, 7, ops, dtype);
  Rng rng(8);
  change_masters(m, ops, [&](std::span<float> masters) {
    for (float& w : masters) w += w == 0.0f ? 0.0f : static_cast<float>(0.1 * rng.normal());
  });
  return m;
}

inline std::vector<int32_t> random_ids(uint64_t seed, int64_t count, int64_t vocab = 64) {
  Rng rng(seed);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab))));
  }
  return ids;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace r1
