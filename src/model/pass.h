// One forward or backward pass: what every part of a block needs to run, and its memory.
#pragma once

#include <iterator>

#include "model/batch.h"
#include "model/expert_loads.h"
#include "model/model.h"
#include "tensor/buffer.h"

namespace r1 {

struct ExpandedPages;

struct Pass {
  const Model& model;
  const DeviceBatch& batch;
  int64_t pages;                  // one more than the highest number of a page of the batch
  const ExpandedPages& expanded;  // attention_mla.h; empty but for the expanded form
  KvCache& kv;
  Ops& ops;
  // What a block's backward needs, and what is given up when the block is done: the same where
  // nothing is kept, or block inputs alone.
  Arena *kept, *scratch;
  ConstTensor cos_sin;           // of the batch's positions, and of those before them
  ExpertLoads* loads = nullptr;  // that backward adds to; may be null

  const ModelConfig& config() const { return model.config(); }
  int64_t rows() const { return std::ssize(batch.tokens); }
  float eps() const { return static_cast<float>(config().rms_norm_eps); }

  // Whether a backward may follow.
  bool keeps() const { return kept != scratch; }
  // A matrix with the batch's rows.
  Tensor keep(int64_t cols) { return tensor(*kept, rows(), cols); }
  float* keep_floats(int64_t count) { return kept->floats(count); }
  Tensor temporary(int64_t cols) { return tensor(*scratch, rows(), cols); }
  static Tensor tensor(Arena& arena, int64_t rows, int64_t cols) {
    return {arena.floats(rows * cols), rows, cols};
  }
  // `count` of one layer's pages for gradients, all zeros.
  KvLayer zero_pages(const KvLayer& shape, int64_t count);

  void product(ConstTensor x, const Linear& w, Tensor out) { w.multiply(ops, x, out); }
  // Writes the gradient of a product's input, and adds those of its weight and bias.
  void product_backward(ConstTensor dout, ConstTensor x, const Linear& w, Gradients& g, Tensor dx) {
    ops.matmul_backward_weight(dout, x, w.packed.dtype, g.of(w.master));
    if (w.bias) ops.matmul_backward_bias(dout, g.of(w.bias));
    ops.matmul(dout, w.transposed, nullptr, false, dx);
  }
};

}  // namespace r1
