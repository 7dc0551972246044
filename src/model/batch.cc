#include "model/batch.h"

#include <sys/mman.h>

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

KvLayer kv_layer_at(KvLayer shape, void* memory, int64_t pages) {
  shape.k = memory;
  if (!shape.latent) shape.v = shape.k_page(pages, 0);
  return shape;
}

int64_t KvCache::page_bytes(const ModelConfig& config, int64_t layers) {
  return layers * config.kv_shape().page_bytes();
}

KvCache::KvCache(const ModelConfig& config, int64_t layers, int64_t pages)
    : layers_(layers),
      pages_(pages),
      shape_(config.kv_shape()),
      memory_(static_cast<size_t>(page_bytes(config, layers) * pages)) {
#ifdef MADV_NOHUGEPAGE
  // A token's keys lie in as many places as there are layers, twice: in huge pages the first one
  // would make the system clear hundreds of megabytes, and a short context hold them. (A small
  // cache's memory is not the system's to advise on: refused.)
  ::madvise(memory_.data(), memory_.bytes(), MADV_NOHUGEPAGE);
#endif
}

KvLayer KvCache::layer(int64_t i) const {
  R1_CHECK(i >= 0 && i < layers_);
  std::byte* const layers = const_cast<std::byte*>(memory_.data());
  return kv_layer_at(shape_, layers + i * shape_.page_bytes() * pages_, pages_);
}

}  // namespace r1
