// The ops over pages of keys and values: how they are split among threads.
#include <algorithm>
#include <vector>

#include "backend/attention_heads.h"
#include "backend/cpu/cpu_ops.h"
#include "backend/kv_vector.h"

namespace r1::cpu {
namespace {

constexpr int64_t kRowsPerTask = 32;

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
  a.type = kv.type;
  a.k = reinterpret_cast<const uint8_t*>(kv.k_page(0, g));
  a.v = kv.latent ? nullptr : reinterpret_cast<const uint8_t*>(kv.v_page(0, g));
  a.k_stride = kv.kv_heads * kv.k_bytes();
  a.v_stride = kv.kv_heads * kv.v_bytes();
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

// The slots of a head's keys that a copy moves, element by element: f(from, to, bytes), which lie
// side by side; and of its values.
template <class F>
void for_each_run(const KvLayer& kv, const PageCopy& c, int64_t g, F&& f) {
  const int64_t element = kv.element_bytes(), row = kPageSize * element;
  const std::byte* k = kv.k_page(c.from, g);
  std::byte* k_to = kv.k_page(c.to, g);
  for (int64_t d = 0; d < kv.key_dim; ++d) f(k + d * row, k_to + d * row, c.slots * element);
  if (!kv.latent) {
    f(kv.v_page(c.from, g), kv.v_page(c.to, g), c.slots * kv.value_dim * element);
  }
  if (kv.type != KvType::kI8) return;
  const int64_t scales = c.slots * static_cast<int64_t>(sizeof(float));
  f(k + kv.key_dim * row, k_to + kv.key_dim * row, scales);
  if (!kv.latent) {
    f(kv.v_page(c.from, g) + kv.value_dim * row, kv.v_page(c.to, g) + kv.value_dim * row, scales);
  }
}

}  // namespace

void CpuOps::kv_append(ConstTensor k, ConstTensor v, Sequences seqs, KvLayer kv) {
  const auto chunks = row_chunks(seqs.bounds);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for_each_slot(chunks[static_cast<size_t>(i)], [&](int64_t page, int64_t slot, int64_t row) {
      for (int64_t g = 0; g < kv.kv_heads; ++g) {
        kv_key(kv, page, g, slot).write(k.row(row) + g * kv.key_dim);
        if (!kv.latent) kv_value(kv, page, g, slot).write(v.row(row) + g * kv.value_dim);
      }
    });
  });
}

void CpuOps::kv_append_backward(KvLayer dkv, Sequences seqs, Tensor dk, Tensor dv) {
  const auto chunks = row_chunks(seqs.bounds);
  pool_.run(static_cast<int64_t>(chunks.size()), [&](int64_t i) {
    for_each_slot(chunks[static_cast<size_t>(i)], [&](int64_t page, int64_t slot, int64_t row) {
      for (int64_t g = 0; g < dkv.kv_heads; ++g) {
        kv_key(dkv, page, g, slot).read(dk.row(row) + g * dkv.key_dim);
        if (!dkv.latent) kv_value(dkv, page, g, slot).read(dv.row(row) + g * dkv.value_dim);
      }
    });
  });
}

void CpuOps::kv_copy(std::span<const PageCopy> copies, KvLayer kv) {
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < kv.kv_heads; ++g) {
      for_each_run(kv, c, g, [](const std::byte* from, std::byte* to, int64_t bytes) {
        std::copy_n(from, bytes, to);
      });
    }
  }
}

void CpuOps::kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) {
  R1_CHECK(dkv.type == KvType::kF32);
  for (const PageCopy& c : copies) {
    for (int64_t g = 0; g < dkv.kv_heads; ++g) {
      for_each_run(dkv, {c.to, c.from, c.slots}, g,
                   [&](const std::byte* from, std::byte* to, int64_t bytes) {
                     kernels_.add(reinterpret_cast<float*>(to),
                                  reinterpret_cast<const float*>(from),
                                  bytes / static_cast<int64_t>(sizeof(float)));
                   });
    }
  }
}

// A task is some rows of a sequence and some of the query heads that read one KV head.
void CpuOps::attention(ConstTensor q, Sequences seqs, KvLayer kv, float scale, Tensor out,
                       float* lse) {
  R1_CHECK(q.cols % (kv.key_dim * kv.kv_heads) == 0);
  R1_CHECK(out.cols == q.cols / kv.key_dim * kv.value_dim);
  const int64_t group = q.cols / kv.key_dim / kv.kv_heads;
  const auto chunks =
      row_chunks(seqs.bounds,
                 std::min<int64_t>(kRowsPerTask, kAttentionQueries / attention_heads(group, 1, 1)));
  const int64_t step = attention_heads(
      group, std::max<int64_t>(1, std::ssize(chunks) * kv.kv_heads), pool_.threads());
  const int64_t blocks = div_up(group, step);
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
                                Sequences sequences, KvLayer kv, float scale, Tensor dq,
                                KvLayer dkv) {
  const std::span<const Sequence> seqs = sequences.bounds;
  R1_CHECK(dout.cols == out.cols && dq.cols == q.cols);
  R1_CHECK(out.cols == q.cols / kv.key_dim * kv.value_dim);
  R1_CHECK(dkv.latent == kv.latent && dkv.type == KvType::kF32);
  std::vector<size_t> family;  // where each begins
  for (size_t i = 0; i < seqs.size(); ++i) {
    if (i == 0 || seqs[i].family != seqs[i - 1].family) family.push_back(i);
  }
  const int64_t families = static_cast<int64_t>(family.size());
  family.push_back(seqs.size());
  const int64_t group = q.cols / kv.key_dim / kv.kv_heads;
  const int64_t page_floats = attention_backward_scratch(kv.key_dim, kv.value_dim);
  int64_t rows = 0;
  for (const Sequence& s : seqs) rows = std::max(rows, s.count);
  const int64_t scratch_floats = page_floats + rows * group;
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
      b.dk = reinterpret_cast<float*>(dkv.k_page(0, g));
      b.dv = kv.latent ? nullptr : reinterpret_cast<float*>(dkv.v_page(0, g));
      b.dk_stride = kv.kv_heads * kv.key_dim * kPageSize;
      b.dv_stride = kv.kv_heads * kv.value_dim * kPageSize;
      b.scratch = scratch_base + i * scratch_floats;
      b.delta = b.scratch + page_floats;
      kernels_.attention_backward(b, seqs[s].count);
    }
  });
}

}  // namespace r1::cpu
