#include "model/batch.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

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

double forward_flops(const ModelConfig& config, const Batch& batch) {
  const double head = 2 * static_cast<double>(config.vocab_size * config.hidden_size);
  const double row = config.forward_flops(0) - head;
  const double key = config.forward_flops(1) - config.forward_flops(0);
  double keys = 0;
  for (const int32_t position : batch.positions) keys += position + 1;
  return static_cast<double>(batch.rows()) * row + keys * key +
         static_cast<double>(batch.outputs.size()) * head;
}

int64_t KvCache::page_bytes(const ModelConfig& config, int64_t layers) {
  return layers * config.kv_shape().page_bytes();
}

KvCache::KvCache(const ModelConfig& config, int64_t layers, int64_t pages, Allocator& memory)
    : layers_(layers),
      pages_(pages),
      shape_(config.kv_shape()),
      memory_(static_cast<size_t>(page_bytes(config, layers) * pages), memory) {
  if (&memory == &host_memory()) spread();
}

void KvCache::spread() {
#ifdef MADV_NOHUGEPAGE
  // Tokens lie in as many places as there are layers, twice: in huge pages the first one would make
  // the system clear hundreds of megabytes, and a short context hold them. So each place begins
  // with small pages; what a long context reads beyond them for every token lies in huge ones. (A
  // small cache's memory is not the system's to advise on: refused.)
  constexpr uintptr_t kSmall = uintptr_t{1} << 20, kSystemPage = 4096;
  const uintptr_t end = reinterpret_cast<uintptr_t>(memory_.data()) + memory_.bytes();
  for (int64_t i = 0; i < layers_; ++i) {
    const KvLayer place = layer(i);
    for (const void* at : {place.k, place.v}) {
      const uintptr_t begin = reinterpret_cast<uintptr_t>(at) / kSystemPage * kSystemPage;
      if (at)
        ::madvise(reinterpret_cast<void*>(begin), std::min(kSmall, end - begin), MADV_NOHUGEPAGE);
    }
  }
#endif
}

KvLayer KvCache::layer(int64_t i) const {
  R1_CHECK(i >= 0 && i < layers_);
  std::byte* const layers = const_cast<std::byte*>(memory_.data());
  return kv_layer_at(shape_, layers + i * shape_.page_bytes() * pages_, pages_);
}

}  // namespace r1
