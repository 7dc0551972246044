#include "model/batch.h"

#include <cstring>

namespace r1 {

int64_t Batch::add(std::span<const int32_t> ids, int64_t position, const int32_t* pages,
                   int32_t family) {
  const int64_t row = rows();
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  for (size_t i = 0; i < ids.size(); ++i) {
    positions.push_back(static_cast<int32_t>(position + static_cast<int64_t>(i)));
  }
  seqs.push_back({row, static_cast<int64_t>(ids.size()), position, pages, family});
  return row;
}

void Batch::clear() {
  tokens.clear();
  positions.clear();
  seqs.clear();
  copies.clear();
  outputs.clear();
}

int64_t KvCache::page_bytes(const ModelConfig& config, int64_t layers) {
  return 2 * layers * config.kv_width() * kPageSize * static_cast<int64_t>(sizeof(float));
}

KvCache::KvCache(const ModelConfig& config, int64_t layers, int64_t pages)
    : layers_(layers),
      pages_(pages),
      kv_heads_(config.num_key_value_heads),
      head_dim_(config.head_dim),
      memory_(static_cast<size_t>(page_bytes(config, layers) * pages)) {}

KvLayer KvCache::layer(int64_t i) const {
  R1_CHECK(i >= 0 && i < layers_);
  const int64_t half = kv_heads_ * head_dim_ * kPageSize * pages_;
  float* base = const_cast<float*>(memory_.floats()) + 2 * i * half;
  return {base, base + half, kv_heads_, head_dim_};
}

void KvCache::clear(int64_t count) {
  R1_CHECK(count <= pages_);
  const size_t bytes =
      static_cast<size_t>(kv_heads_ * head_dim_ * kPageSize * count) * sizeof(float);
  for (int64_t i = 0; i < layers_; ++i) {
    std::memset(layer(i).k, 0, bytes);
    std::memset(layer(i).v, 0, bytes);
  }
}

}  // namespace r1
