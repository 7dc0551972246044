// What a forward pass runs over: packed token rows with their positions and sequences, no padding.
//
//   mode           sequences                               outputs
//   train, score   each from position 0 (or after the      rows whose next token has a loss
//                  prompt it shares with its group)
//   prefill        a chunk of a prompt                     the prompt's last row
//   decode         one row each                            all rows
//
// Chunks of prompts and decoding rows share a batch freely.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace r1 {

struct Batch {
  std::vector<int32_t> tokens;     // [T]
  std::vector<int32_t> positions;  // [T]
  std::vector<Sequence> seqs;      // cover the rows in order
  std::vector<PageCopy> copies;    // made in every layer, after the rows' own keys are written
  std::vector<int32_t> outputs;    // rows whose final hidden state is wanted

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }

  // Adds `ids` as positions [position, position + ids.size()) of a sequence whose page table is
  // `pages`, which must outlive the batch. Returns the first row.
  int64_t add(std::span<const int32_t> ids, int64_t position, const int32_t* pages, int32_t family);
  void clear();

  BatchArrays arrays() const { return {tokens, positions, outputs, seqs, copies}; }
};

// The pages of keys and values of all layers. Pages are numbered the same in each layer; who owns
// which is the business of the engine's and the trainer's page tables. A model with multi-head
// latent attention keeps the latent vector and the rotated key that its heads share, and no more.
// How elements are held is config.kv_cache_dtype's to say.
class KvCache {
 public:
  KvCache() = default;
  KvCache(const ModelConfig& config, int64_t layers, int64_t pages,
          Allocator& memory = host_memory());

  KvLayer layer(int64_t i) const;
  int64_t pages() const { return pages_; }
  size_t bytes() const { return memory_.bytes(); }

  // Bytes of one page over `layers` layers.
  static int64_t page_bytes(const ModelConfig& config, int64_t layers);

 private:
  // Advises the system on the pages of the host's memory.
  void spread();

  int64_t layers_ = 0, pages_ = 0;
  KvLayer shape_;
  Buffer memory_;  // [layer][k, v][page]
};

// Views of `pages` pages of one layer in `memory`, which holds pages * shape.page_bytes().
KvLayer kv_layer_at(KvLayer shape, void* memory, int64_t pages);

// Of the batch's forward pass: each row over its own context, the logits of its outputs alone.
// Multiply-adds count as two, as in ModelConfig::forward_flops.
double forward_flops(const ModelConfig& config, const Batch& batch);

inline constexpr int64_t pages_for(int64_t positions) {
  return (positions + kPageSize - 1) / kPageSize;
}

}  // namespace r1
