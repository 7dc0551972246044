// The ops over pages of keys and values: how they are split among threads.
#include <algorithm>
#include <vector>

#include "backend/cpu/cpu_ops.h"

namespace r1::cpu {
namespace {

constexpr int64_t kRowsPerTask = 32;
constexpr int64_t kHeadsPerTask = 32;  // so that one decoding row of many heads is several tasks

struct RowChunk {
  const Sequence* seq;
  int64_t begin, end;  // rows of the sequence
};

std::vector<RowChunk> row_chunks(std::span<const Sequence> seqs, int64_t rows = kRowsPerTask) {
  std::vector<RowChunk> chunks;
  for (const Sequence& s : seqs) {
    for (int64_t r = 0; r < s.count; r += rows) {
      chunks.push_back({&s, r, std::min(s.count, r + rows)});
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

// Query heads [head, head + heads), which read KV head g.
Attention sequence_attention(ConstTensor q, const Sequence& seq, const KvLayer& kv, int64_t g,
                             int64_t head, int64_t heads, float scale, ConstTensor out,
                             const float* lse) {
  const int64_t all_heads = q.cols / kv.key_dim;
  Attention a{};
  a.q = q.row(seq.row) + head * kv.key_dim;
  a.qs = q.stride;
  a.pages = seq.pages;
  a.position = seq.position;
  a.k = kv.k_page(0, g);
  a.v = kv.latent ? nullptr : kv.v_page(0, g);
  a.k_stride = kv.k_floats();
  a.v_stride = kv.v_floats();
  a.heads = heads;
  a.key_dim = kv.key_dim;
  a.value_dim = kv.value_dim;
  a.scale = scale;
  a.out = const_cast<float*>(out.row(seq.row)) + head * kv.value_dim;
  a.os = out.stride;
  a.lse = lse ? const_cast<float*>(lse) + seq.row * all_heads + head : nullptr;
  a.ls = all_heads;
  return a;
}

// Elements of a row's values: none where they are part of the keys.
int64_t value_width(const KvLayer& kv) {
  return kv.latent ? 0 : kv.value_dim;
}

}  // namespace

void CpuOps::kv_append(ConstTensor k, ConstTensor v, std::span<const Sequence> seqs, KvLayer kv) {
  const auto chunks = row_chunks(seqs);
  const int64_t kd = kv.key_dim, vd = value_width(kv);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for_each_slot(chunks[static_cast<size_t>(i)], [&](int64_t page, int64_t slot, int64_t row) {
      for (int64_t g = 0; g < kv.kv_heads; ++g) {
        float* kp = kv.k_page(page, g) + slot;
        const float* kr = k.row(row) + g * kd;
        for (int64_t d = 0; d < kd; ++d) kp[d * kPageSize] = kr[d];
        if (vd > 0) std::copy_n(v.row(row) + g * vd, vd, kv.v_page(page, g) + slot * vd);
      }
    });
  });
}

void CpuOps::kv_append_backward(KvLayer dkv, std::span<const Sequence> seqs, Tensor dk, Tensor dv) {
  const auto chunks = row_chunks(seqs);
  const int64_t kd = dkv.key_dim, vd = value_width(dkv);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for_each_slot(chunks[static_cast<size_t>(i)], [&](int64_t page, int64_t slot, int64_t row) {
      for (int64_t g = 0; g < dkv.kv_heads; ++g) {
        const float* kp = dkv.k_page(page, g) + slot;
        float* kr = dk.row(row) + g * kd;
        for (int64_t d = 0; d < kd; ++d) kr[d] = kp[d * kPageSize];
        if (vd > 0) std::copy_n(dkv.v_page(page, g) + slot * vd, vd, dv.row(row) + g * vd);
      }
    });
  });
}

void CpuOps::kv_copy(std::span<const PageCopy> copies, KvLayer kv) {
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < kv.kv_heads; ++g) {
      const float* k = kv.k_page(c.from, g);
      float* k_to = kv.k_page(c.to, g);
      for (int64_t d = 0; d < kv.key_dim; ++d) {
        std::copy_n(k + d * kPageSize, c.slots, k_to + d * kPageSize);
      }
      if (const int64_t vd = value_width(kv); vd > 0) {
        std::copy_n(kv.v_page(c.from, g), c.slots * vd, kv.v_page(c.to, g));
      }
    }
  }
}

void CpuOps::kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) {
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < dkv.kv_heads; ++g) {
      for (int64_t d = 0; d < dkv.key_dim; ++d) {
        kernels_.add(dkv.k_page(c.from, g) + d * kPageSize, dkv.k_page(c.to, g) + d * kPageSize,
                     c.slots);
      }
      if (const int64_t vd = value_width(dkv); vd > 0) {
        kernels_.add(dkv.v_page(c.from, g), dkv.v_page(c.to, g), c.slots * vd);
      }
    }
  }
}

// A task is some rows of a sequence and some of the query heads that read one KV head.
void CpuOps::attention(ConstTensor q, std::span<const Sequence> seqs, KvLayer kv, float scale,
                       Tensor out, float* lse) {
  R1_CHECK(q.cols % (kv.key_dim * kv.kv_heads) == 0);
  R1_CHECK(out.cols == q.cols / kv.key_dim * kv.value_dim);
  const int64_t group = q.cols / kv.key_dim / kv.kv_heads;
  const int64_t step = std::min(group, kHeadsPerTask), blocks = (group + step - 1) / step;
  const auto chunks = row_chunks(seqs, std::min<int64_t>(kRowsPerTask, kAttentionQueries / step));
  const int64_t tasks_a_chunk = kv.kv_heads * blocks;
  pool_.run(static_cast<int64_t>(chunks.size()) * tasks_a_chunk, [&](int64_t i) {
    const RowChunk& chunk = chunks[static_cast<size_t>(i / tasks_a_chunk)];
    const int64_t g = i % tasks_a_chunk / blocks, first = i % blocks * step;
    const Attention a = sequence_attention(q, *chunk.seq, kv, g, g * group + first,
                                           std::min(step, group - first), scale, out, lse);
    kernels_.attention(a, chunk.begin, chunk.end);
  });
}

// A task is a KV head of a family: the sequences of a family add to the same pages, in order.
void CpuOps::attention_backward(ConstTensor dout, ConstTensor q, ConstTensor out, const float* lse,
                                std::span<const Sequence> seqs, KvLayer kv, float scale, Tensor dq,
                                KvLayer dkv) {
  R1_CHECK(dout.cols == out.cols && dq.cols == q.cols);
  R1_CHECK(out.cols == q.cols / kv.key_dim * kv.value_dim && dkv.latent == kv.latent);
  std::vector<size_t> family;  // where each begins
  for (size_t i = 0; i < seqs.size(); ++i) {
    if (i == 0 || seqs[i].family != seqs[i - 1].family) family.push_back(i);
  }
  const int64_t families = static_cast<int64_t>(family.size());
  family.push_back(seqs.size());
  const int64_t group = q.cols / kv.key_dim / kv.kv_heads;
  const int64_t scratch_floats = attention_backward_scratch(kv.key_dim, kv.value_dim);
  float* const scratch_base = scratch(families * kv.kv_heads * scratch_floats);
  pool_.run(families * kv.kv_heads, [&](int64_t i) {
    const int64_t g = i % kv.kv_heads;
    const size_t f = static_cast<size_t>(i / kv.kv_heads);
    for (size_t s = family[f]; s < family[f + 1]; ++s) {
      AttentionBackward b{};
      b.forward = sequence_attention(q, seqs[s], kv, g, g * group, group, scale, out, lse);
      b.dout = dout.row(seqs[s].row) + g * group * kv.value_dim;
      b.ds = dout.stride;
      b.dq = dq.row(seqs[s].row) + g * group * kv.key_dim;
      b.dqs = dq.stride;
      b.dk = dkv.k_page(0, g);
      b.dv = kv.latent ? nullptr : dkv.v_page(0, g);
      b.scratch = scratch_base + i * scratch_floats;
      kernels_.attention_backward(b, seqs[s].count);
    }
  });
}

}  // namespace r1::cpu
