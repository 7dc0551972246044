// For tests only: backends with a planted fault. Some compute what their op means, within rounding,
// but in an order that depends on the batch: what the numerics contract forbids and what its checks
// (chunking_mismatches here, logprob_mismatch in training) must notice. One throws.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/cpu/cpu_ops.h"
#include "base/error.h"

namespace r1 {

// Sums a product's K in two halves where a batch has more than 8 rows.
class SplitSumOps : public cpu::CpuOps {
 public:
  using cpu::CpuOps::CpuOps;

  void matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add,
              Tensor out) override {
    if (x.rows <= 8) return cpu::CpuOps::matmul(x, w, bias, add, out);
    const std::vector<float> low = half(x, 0, w.k / 2), high = half(x, w.k / 2, w.k);
    cpu::CpuOps::matmul(ConstTensor(low.data(), x.rows, x.cols), w, bias, add, out);
    cpu::CpuOps::matmul(ConstTensor(high.data(), x.rows, x.cols), w, nullptr, true, out);
  }

 private:
  // x with zeros outside columns [begin, end).
  static std::vector<float> half(ConstTensor x, int64_t begin, int64_t end) {
    std::vector<float> result(static_cast<size_t>(x.rows * x.cols));
    for (int64_t t = 0; t < x.rows; ++t) {
      for (int64_t k = begin; k < end; ++k) {
        result[static_cast<size_t>(t * x.cols + k)] = x.row(t)[k];
      }
    }
    return result;
  }
};

// Scales the queries instead of the scores where a batch has a single row: a decoding kernel of its
// own.
class DecodeScaleOps : public cpu::CpuOps {
 public:
  using cpu::CpuOps::CpuOps;

  void attention(ConstTensor q, Sequences seqs, KvLayer kv, float scale, Tensor out,
                 float* lse) override {
    if (seqs.bounds.size() != 1 || seqs.bounds[0].count != 1) {
      return cpu::CpuOps::attention(q, seqs, kv, scale, out, lse);
    }
    std::vector<float> scaled(static_cast<size_t>(q.rows * q.cols));
    for (int64_t c = 0; c < q.cols; ++c) {
      scaled[static_cast<size_t>(seqs.bounds[0].row * q.cols + c)] =
          q.row(seqs.bounds[0].row)[c] * scale;
    }
    cpu::CpuOps::attention(ConstTensor(scaled.data(), q.rows, q.cols), seqs, kv, 1, out, lse);
  }
};

// Throws once, `countdown` norms and draws from now, as an op does that finds no memory.
class ThrowingOps : public cpu::CpuOps {
 public:
  using cpu::CpuOps::CpuOps;
  int64_t countdown = -1;

  void rms_norm(ConstTensor x, std::span<const float> w, int64_t groups, float eps, Tensor out,
                float* rstd) override {
    if (countdown >= 0 && countdown-- == 0) throw JobError("planted");
    cpu::CpuOps::rms_norm(x, w, groups, eps, out, rstd);
  }
  void sample(ConstTensor logits, const float* uniform, int32_t* token) override {
    if (countdown >= 0 && countdown-- == 0) throw JobError("planted");
    cpu::CpuOps::sample(logits, uniform, token);
  }
};

}  // namespace r1
