// What attention over pages means, and its gradient. Templates as in ref_math.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "backend/ref/ref_math.h"
#include "tensor/tensor.h"

namespace r1::ref {

// KvLayer for any stored type.
template <class Real>
struct KvPages {
  Real* k = nullptr;
  Real* v = nullptr;  // null: the first elements of the keys
  int64_t kv_heads = 0, key_dim = 0, value_dim = 0;

  Real& key(int64_t page, int64_t g, int64_t slot, int64_t d) const {
    return k[((page * kv_heads + g) * key_dim + d) * kPageSize + slot];
  }
  Real& value(int64_t page, int64_t g, int64_t slot, int64_t d) const {
    if (v == nullptr) return key(page, g, slot, d);
    return v[((page * kv_heads + g) * kPageSize + slot) * value_dim + d];
  }
  // The same by a sequence's position.
  Real& key_at(const Sequence& seq, int64_t position, int64_t g, int64_t d) const {
    return key(seq.pages[position / kPageSize], g, position % kPageSize, d);
  }
  Real& value_at(const Sequence& seq, int64_t position, int64_t g, int64_t d) const {
    return value(seq.pages[position / kPageSize], g, position % kPageSize, d);
  }
};

// Calls f(sequence, row of the batch, position, g) for every row and KV head.
template <class F>
void for_each_row(std::span<const Sequence> seqs, int64_t kv_heads, F&& f) {
  for (const Sequence& seq : seqs) {
    for (int64_t r = 0; r < seq.count; ++r) {
      for (int64_t g = 0; g < kv_heads; ++g) f(seq, seq.row + r, seq.position + r, g);
    }
  }
}

template <class Real>
void kv_append(BasicTensor<const Real> k, BasicTensor<const Real> v, std::span<const Sequence> seqs,
               KvPages<Real> kv) {
  for_each_row(seqs, kv.kv_heads, [&](const Sequence& seq, int64_t row, int64_t at, int64_t g) {
    for (int64_t d = 0; d < kv.key_dim; ++d) {
      kv.key_at(seq, at, g, d) = k.row(row)[g * kv.key_dim + d];
    }
    for (int64_t d = 0; kv.v && d < kv.value_dim; ++d) {
      kv.value_at(seq, at, g, d) = v.row(row)[g * kv.value_dim + d];
    }
  });
}

template <class Real>
void kv_append_backward(KvPages<Real> dkv, std::span<const Sequence> seqs, BasicTensor<Real> dk,
                        BasicTensor<Real> dv) {
  for_each_row(seqs, dkv.kv_heads, [&](const Sequence& seq, int64_t row, int64_t at, int64_t g) {
    for (int64_t d = 0; d < dkv.key_dim; ++d) {
      dk.row(row)[g * dkv.key_dim + d] = dkv.key_at(seq, at, g, d);
    }
    for (int64_t d = 0; dkv.v && d < dkv.value_dim; ++d) {
      dv.row(row)[g * dkv.value_dim + d] = dkv.value_at(seq, at, g, d);
    }
  });
}

// Calls f(element to read, element to write) for every element that the copies move.
template <class Real, class F>
void for_each_copied_element(std::span<const PageCopy> copies, KvPages<Real> kv, F&& f) {
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < kv.kv_heads; ++g) {
      for (int64_t slot = 0; slot < c.slots; ++slot) {
        for (int64_t d = 0; d < kv.key_dim; ++d) {
          f(kv.key(c.from, g, slot, d), kv.key(c.to, g, slot, d));
        }
        for (int64_t d = 0; kv.v && d < kv.value_dim; ++d) {
          f(kv.value(c.from, g, slot, d), kv.value(c.to, g, slot, d));
        }
      }
    }
  }
}

template <class Real>
void kv_copy(std::span<const PageCopy> copies, KvPages<Real> kv) {
  for_each_copied_element(copies, kv, [](Real& from, Real& to) { to = from; });
}

template <class Real>
void kv_copy_backward(std::span<const PageCopy> copies, KvPages<Real> dkv) {
  for_each_copied_element(copies, dkv, [](Real& from, Real& to) { from += to; });
}

// s_j = scale q.k_j for positions j in [0, limit)
template <class Real>
std::vector<double> attention_scores(const Real* q, const Sequence& seq, int64_t limit,
                                     KvPages<Real> kv, int64_t g, double scale) {
  std::vector<double> scores(static_cast<size_t>(limit));
  for (int64_t j = 0; j < limit; ++j) {
    double dot = 0;
    for (int64_t d = 0; d < kv.key_dim; ++d) {
      dot += wide(q[d]) * wide(kv.key_at(seq, j, g, d));
    }
    scores[static_cast<size_t>(j)] = scale * dot;
  }
  return scores;
}

// A row at position i:   p_j = softmax_j(scale q.k_j),  j <= i       out = sum_j p_j v_j
// lse = log(sum_j exp(scale q.k_j)), [T, H]; it may be null. Head h reads KV head h / (H / G).
template <class Real>
void attention(BasicTensor<const Real> q, std::span<const Sequence> seqs, KvPages<Real> kv,
               double scale, BasicTensor<Real> out, Real* lse) {
  const int64_t dim = kv.value_dim, heads = q.cols / kv.key_dim, group = heads / kv.kv_heads;
  for (const Sequence& seq : seqs) {
    for (int64_t i = 0; i < seq.count * heads; ++i) {
      const int64_t row = seq.row + i / heads, h = i % heads, g = h / group;
      const int64_t limit = seq.position + i / heads + 1;
      std::vector<double> p =
          attention_scores(q.row(row) + h * kv.key_dim, seq, limit, kv, g, scale);
      const double max = *std::max_element(p.begin(), p.end());
      double total = 0;
      for (double& s : p) total += s = std::exp(s - max);
      for (int64_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (int64_t j = 0; j < limit; ++j) {
          sum += p[static_cast<size_t>(j)] * wide(kv.value_at(seq, j, g, d));
        }
        out.row(row)[h * dim + d] = static_cast<Real>(sum / total);
      }
      if (lse) lse[row * heads + h] = static_cast<Real>(max + std::log(total));
    }
  }
}

// One row and head of the backward below: writes dq, adds to dk [position][key_dim] and dv.
template <class Real>
void attention_backward_row(const Real* dout, const Real* q, const Real* out, double lse,
                            const Sequence& seq, int64_t limit, KvPages<Real> kv, int64_t g,
                            double scale, Real* dq, std::vector<double>& dk,
                            std::vector<double>& dv) {
  const std::vector<double> scores = attention_scores(q, seq, limit, kv, g, scale);
  double delta = 0;
  for (int64_t d = 0; d < kv.value_dim; ++d) delta += wide(dout[d]) * wide(out[d]);
  std::vector<double> dq_sum(static_cast<size_t>(kv.key_dim));
  for (int64_t j = 0; j < limit; ++j) {
    const double p = std::exp(scores[static_cast<size_t>(j)] - lse);
    double dp = 0;
    for (int64_t d = 0; d < kv.value_dim; ++d) {
      dp += wide(dout[d]) * wide(kv.value_at(seq, j, g, d));
      dv[static_cast<size_t>(j * kv.value_dim + d)] += p * wide(dout[d]);
    }
    const double ds = p * (dp - delta);
    for (int64_t d = 0; d < kv.key_dim; ++d) {
      dk[static_cast<size_t>(j * kv.key_dim + d)] += scale * ds * wide(q[d]);
      dq_sum[static_cast<size_t>(d)] += scale * ds * wide(kv.key_at(seq, j, g, d));
    }
  }
  for (int64_t d = 0; d < kv.key_dim; ++d) {
    dq[d] = static_cast<Real>(dq_sum[static_cast<size_t>(d)]);
  }
}

// p_j = exp(s_j - lse)      dp_j = dout.v_j      delta = sum_j p_j dp_j = dout.out
// ds_j = p_j (dp_j - delta)
// dv_j += p_j dout          dk_j += scale ds_j q          dq = sum_j scale ds_j k_j
template <class Real>
void attention_backward(BasicTensor<const Real> dout, BasicTensor<const Real> q,
                        BasicTensor<const Real> out, const Real* lse,
                        std::span<const Sequence> seqs, KvPages<Real> kv, double scale,
                        BasicTensor<Real> dq, KvPages<Real> dkv) {
  const int64_t kd = kv.key_dim, vd = kv.value_dim;
  const int64_t heads = q.cols / kd, group = heads / kv.kv_heads;
  for (const Sequence& seq : seqs) {
    const int64_t positions = seq.position + seq.count;
    for (int64_t g = 0; g < kv.kv_heads; ++g) {
      std::vector<double> dk(static_cast<size_t>(positions * kd));
      std::vector<double> dv(static_cast<size_t>(positions * vd));
      for (int64_t r = 0; r < seq.count; ++r) {
        for (int64_t h = g * group; h < (g + 1) * group; ++h) {
          const int64_t row = seq.row + r;
          attention_backward_row(dout.row(row) + h * vd, q.row(row) + h * kd, out.row(row) + h * vd,
                                 wide(lse[row * heads + h]), seq, seq.position + r + 1, kv, g,
                                 scale, dq.row(row) + h * kd, dk, dv);
        }
      }
      for (int64_t i = 0; i < positions * kd; ++i) {
        Real& key = dkv.key_at(seq, i / kd, g, i % kd);
        key = static_cast<Real>(wide(key) + dk[static_cast<size_t>(i)]);
      }
      for (int64_t i = 0; i < positions * vd; ++i) {
        Real& value = dkv.value_at(seq, i / vd, g, i % vd);
        value = static_cast<Real>(wide(value) + dv[static_cast<size_t>(i)]);
      }
    }
  }
}

}  // namespace r1::ref
