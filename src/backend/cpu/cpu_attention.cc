// The ops over pages of keys and values: how they are split among threads.
#include <algorithm>
#include <vector>

#include "backend/cpu/cpu_ops.h"

namespace r1::cpu {
namespace {

constexpr int64_t kRowsPerTask = 32;

struct RowChunk {
  const Sequence* seq;
  int64_t begin, end;  // rows of the sequence
};

std::vector<RowChunk> row_chunks(std::span<const Sequence> seqs) {
  std::vector<RowChunk> chunks;
  for (const Sequence& s : seqs) {
    for (int64_t r = 0; r < s.count; r += kRowsPerTask) {
      chunks.push_back({&s, r, std::min(s.count, r + kRowsPerTask)});
    }
  }
  return chunks;
}

// f(page of position, slot, row of the batch) for each row of a chunk.
template <class F>
void for_each_slot(const RowChunk& chunk, F&& f) {
  for (int64_t r = chunk.begin; r < chunk.end; ++r) {
    const int64_t position = chunk.seq->position + r;
    f(chunk.seq->pages[position / kPageSize], position % kPageSize, chunk.seq->row + r);
  }
}

Attention sequence_attention(ConstTensor q, const Sequence& seq, const KvLayer& kv, int64_t g,
                             float scale, ConstTensor out, const float* lse) {
  const int64_t dim = kv.head_dim, heads = q.cols / dim, group = heads / kv.kv_heads;
  Attention a{};
  a.q = q.row(seq.row) + g * group * dim;
  a.qs = q.stride;
  a.pages = seq.pages;
  a.position = seq.position;
  a.k = kv.k_page(0, g);
  a.v = kv.v_page(0, g);
  a.page_stride = kv.page_floats();
  a.heads = group;
  a.dim = dim;
  a.scale = scale;
  a.out = const_cast<float*>(out.row(seq.row)) + g * group * dim;
  a.os = out.stride;
  a.lse = lse ? const_cast<float*>(lse) + seq.row * heads + g * group : nullptr;
  a.ls = heads;
  return a;
}

}  // namespace

void CpuOps::kv_append(ConstTensor k, ConstTensor v, std::span<const Sequence> seqs, KvLayer kv) {
  const auto chunks = row_chunks(seqs);
  const int64_t dim = kv.head_dim;
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for_each_slot(chunks[static_cast<size_t>(i)], [&](int64_t page, int64_t slot, int64_t row) {
      for (int64_t g = 0; g < kv.kv_heads; ++g) {
        float *kp = kv.k_page(page, g) + slot, *vp = kv.v_page(page, g) + slot * dim;
        const float *kr = k.row(row) + g * dim, *vr = v.row(row) + g * dim;
        for (int64_t d = 0; d < dim; ++d) kp[d * kPageSize] = kr[d];
        for (int64_t d = 0; d < dim; ++d) vp[d] = vr[d];
      }
    });
  });
}

void CpuOps::kv_append_backward(KvLayer dkv, std::span<const Sequence> seqs, Tensor dk, Tensor dv) {
  const auto chunks = row_chunks(seqs);
  const int64_t dim = dkv.head_dim;
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for_each_slot(chunks[static_cast<size_t>(i)], [&](int64_t page, int64_t slot, int64_t row) {
      for (int64_t g = 0; g < dkv.kv_heads; ++g) {
        const float *kp = dkv.k_page(page, g) + slot, *vp = dkv.v_page(page, g) + slot * dim;
        float *kr = dk.row(row) + g * dim, *vr = dv.row(row) + g * dim;
        for (int64_t d = 0; d < dim; ++d) kr[d] = kp[d * kPageSize];
        for (int64_t d = 0; d < dim; ++d) vr[d] = vp[d];
      }
    });
  });
}

void CpuOps::kv_copy(std::span<const PageCopy> copies, KvLayer kv) {
  const int64_t dim = kv.head_dim;
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < kv.kv_heads; ++g) {
      const float *k = kv.k_page(c.from, g), *v = kv.v_page(c.from, g);
      float *k_to = kv.k_page(c.to, g), *v_to = kv.v_page(c.to, g);
      for (int64_t d = 0; d < dim; ++d) {
        std::copy_n(k + d * kPageSize, c.slots, k_to + d * kPageSize);
      }
      std::copy_n(v, c.slots * dim, v_to);
    }
  }
}

void CpuOps::kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) {
  const int64_t dim = dkv.head_dim;
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < dkv.kv_heads; ++g) {
      for (int64_t d = 0; d < dim; ++d) {
        kernels_.add(dkv.k_page(c.from, g) + d * kPageSize, dkv.k_page(c.to, g) + d * kPageSize,
                     c.slots);
      }
      kernels_.add(dkv.v_page(c.from, g), dkv.v_page(c.to, g), c.slots * dim);
    }
  }
}

void CpuOps::attention(ConstTensor q, std::span<const Sequence> seqs, KvLayer kv, float scale,
                       Tensor out, float* lse) {
  R1_CHECK(q.cols % (kv.head_dim * kv.kv_heads) == 0 && out.cols == q.cols);
  const auto chunks = row_chunks(seqs);
  pool_.run(static_cast<int64_t>(chunks.size()) * kv.kv_heads, [&](int64_t i) {
    const RowChunk& chunk = chunks[static_cast<size_t>(i / kv.kv_heads)];
    const Attention a = sequence_attention(q, *chunk.seq, kv, i % kv.kv_heads, scale, out, lse);
    kernels_.attention(a, chunk.begin, chunk.end);
  });
}

// A task is a KV head of a family: the sequences of a family add to the same pages, in order.
void CpuOps::attention_backward(ConstTensor dout, ConstTensor q, ConstTensor out, const float* lse,
                                std::span<const Sequence> seqs, KvLayer kv, float scale, Tensor dq,
                                KvLayer dkv) {
  R1_CHECK(dout.cols == q.cols && dq.cols == q.cols && out.cols == q.cols);
  std::vector<size_t> family;  // where each begins
  for (size_t i = 0; i < seqs.size(); ++i) {
    if (i == 0 || seqs[i].family != seqs[i - 1].family) family.push_back(i);
  }
  const int64_t families = static_cast<int64_t>(family.size());
  family.push_back(seqs.size());
  const int64_t dim = kv.head_dim, group = q.cols / dim / kv.kv_heads;
  const int64_t scratch_floats = attention_backward_scratch(dim);
  float* const scratch_base = scratch(families * kv.kv_heads * scratch_floats);
  pool_.run(families * kv.kv_heads, [&](int64_t i) {
    const int64_t g = i % kv.kv_heads;
    const size_t f = static_cast<size_t>(i / kv.kv_heads);
    for (size_t s = family[f]; s < family[f + 1]; ++s) {
      AttentionBackward b{};
      b.forward = sequence_attention(q, seqs[s], kv, g, scale, out, lse);
      b.dout = dout.row(seqs[s].row) + g * group * dim;
      b.ds = dout.stride;
      b.dq = dq.row(seqs[s].row) + g * group * dim;
      b.dqs = dq.stride;
      b.dk = dkv.k_page(0, g);
      b.dv = dkv.v_page(0, g);
      b.scratch = scratch_base + i * scratch_floats;
      kernels_.attention_backward(b, seqs[s].count);
    }
  });
}

}  // namespace r1::cpu
