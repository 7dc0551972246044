// Attention and what moves keys and values. Timed in the heads of DeepSeek-R1-Distill-Qwen-1.5B.
#include <cmath>

#include "backend/kv_vector.h"
#include "bench/op_bench.h"

namespace r1 {
namespace {

constexpr double kExp = 20;  // operations of exp

struct Heads {
  int64_t query, kv, dim;  // H, G, D
};

Heads heads_of(OpSize size) {
  return size == OpSize::kTimed ? Heads{12, 2, 128} : Heads{6, 2, 40};
}

// `count` sequences of `rows` rows after `past` positions, on shuffled pages, and one layer's keys
// and values.
struct Layout {
  Heads heads;
  int64_t count, past, rows;
  KvType type = KvType::kF32;

  int64_t batch() const { return count * rows; }
  int64_t positions() const { return past + rows; }
  int64_t pages() const { return (positions() + kPageSize - 1) / kPageSize; }
  // Pairs of a query head and a key it sees.
  double pairs() const {
    const double seen = static_cast<double>(rows * past + rows * (rows + 1) / 2);
    return static_cast<double>(count * heads.query) * seen;
  }
  double query_floats() const { return static_cast<double>(batch() * heads.query * heads.dim); }
  // Of keys and values together.
  double kv_floats() const {
    return 2 * static_cast<double>(count * positions() * heads.kv * heads.dim);
  }
  KvLayer kv_layer() const {
    return {nullptr, nullptr, heads.kv, heads.dim, heads.dim, false, type};
  }
  double kv_bytes() const {
    return static_cast<double>(count * positions() * kv_layer().page_bytes()) / kPageSize;
  }
  std::string shape() const {
    return std::to_string(count) + " x T=" + std::to_string(rows) +
           (past > 0 ? " past=" + std::to_string(past) : "") + " H=" + std::to_string(heads.query) +
           " G=" + std::to_string(heads.kv) + " D=" + std::to_string(heads.dim) +
           (type == KvType::kBF16 ? " bf16"
            : type == KvType::kI8 ? " int8"
                                  : "");
  }

  std::vector<Sequence> sequences(OpCall& c) const {
    const std::span<const int32_t> table = c.shuffled(count * pages(), count * pages());
    std::vector<Sequence> result;
    for (int64_t i = 0; i < count; ++i) {
      result.push_back({.row = i * rows,
                        .count = rows,
                        .position = past,
                        .pages = table.data() + i * pages(),
                        .family = static_cast<int32_t>(i)});
    }
    return result;
  }
};

KvLayer random_kv(OpCall& c, const Layout& l) {
  KvLayer kv = l.kv_layer();
  const int64_t pages = l.count * l.pages();
  const auto memory = [&](int64_t part) {
    return c.zeros(pages, kv.kv_heads * part / static_cast<int64_t>(sizeof(float))).data;
  };
  kv.k = memory(kv.k_bytes());
  kv.v = memory(kv.v_bytes());
  const Tensor rows = c.random(1000, kv.key_dim);
  for (int64_t i = 0, next = 0; i < pages * kv.kv_heads * kPageSize; ++i) {
    const int64_t page = i / kPageSize / kv.kv_heads, head = i / kPageSize % kv.kv_heads;
    kv_key(kv, page, head, i % kPageSize).write(rows.row(next++ % rows.rows));
    kv_value(kv, page, head, i % kPageSize).write(rows.row(next++ % rows.rows));
  }
  return kv;
}

// Zeros, and reports them as outputs.
KvLayer output_kv(OpCall& c, const Layout& l) {
  const int64_t floats = l.heads.kv * l.heads.dim * kPageSize;
  const Tensor k = c.zeros(l.count * l.pages(), floats), v = c.zeros(k.rows, floats);
  c.outputs.push_back(k);
  c.outputs.push_back(v);
  KvLayer kv = l.kv_layer();
  kv.k = k.data;
  kv.v = v.data;
  return kv;
}

float scale_of(const Heads& h) {
  return 1 / std::sqrt(static_cast<float>(h.dim));
}

OpCall attention_call(const Layout& l) {
  OpCall c;
  const std::vector<Sequence> seqs = l.sequences(c);
  const KvLayer kv = random_kv(c, l);
  const Tensor q = c.random(l.batch(), l.heads.query * l.heads.dim), out = c.zeros(q.rows, q.cols);
  c.shape = l.shape();
  c.flops = l.pairs() * (4 * static_cast<double>(l.heads.dim) + kExp + 3);
  c.read = 4 * l.query_floats() + l.kv_bytes();
  c.written = 4 * l.query_floats();
  c.run = [=](Ops& ops) { ops.attention(q, seqs, kv, scale_of(l.heads), out, nullptr); };
  c.outputs = {out};
  return c;
}

OpCall attention_backward_call(const Layout& l) {
  OpCall c;
  const std::vector<Sequence> seqs = l.sequences(c);
  const KvLayer kv = random_kv(c, l), dkv = output_kv(c, l);
  const int64_t cols = l.heads.query * l.heads.dim;
  const Tensor q = c.random(l.batch(), cols), dout = c.random(l.batch(), cols);
  const Tensor out = c.zeros(l.batch(), cols), dq = c.zeros(l.batch(), cols);
  const Tensor lse = c.zeros(l.batch(), l.heads.query);
  c.shape = l.shape();
  // Five products: the scores again, and the gradients of p, v, k and q.
  c.flops = l.pairs() * (10 * static_cast<double>(l.heads.dim) + kExp + 5);
  c.read = 12 * l.query_floats() + 8 * l.kv_floats();
  c.written = 4 * (l.query_floats() + l.kv_floats());
  c.prepare = [=](Ops& ops) { ops.attention(q, seqs, kv, scale_of(l.heads), out, lse.data); };
  c.run = [=](Ops& ops) {
    ops.attention_backward(dout, q, out, lse.data, seqs, kv, scale_of(l.heads), dq, dkv);
  };
  c.outputs.push_back(dq);
  return c;
}

OpCall kv_append_call(OpSize size, bool backward) {
  OpCall c;
  const Layout l =
      size == OpSize::kTimed ? Layout{heads_of(size), 8, 0, 512} : Layout{heads_of(size), 3, 5, 20};
  const std::vector<Sequence> seqs = l.sequences(c);
  const int64_t cols = l.heads.kv * l.heads.dim;
  c.shape = l.shape();
  c.read = c.written = 8 * static_cast<double>(l.batch() * cols);
  if (backward) {
    const KvLayer dkv = random_kv(c, l);
    const Tensor dk = c.zeros(l.batch(), cols), dv = c.zeros(l.batch(), cols);
    c.run = [=](Ops& ops) { ops.kv_append_backward(dkv, seqs, dk, dv); };
    c.outputs = {dk, dv};
  } else {
    const Tensor k = c.random(l.batch(), cols), v = c.random(l.batch(), cols);
    const KvLayer kv = output_kv(c, l);
    c.run = [=](Ops& ops) { ops.kv_append(k, v, seqs, kv); };
  }
  return c;
}

// A page's first half, many times: what groups of completions do when they branch off.
OpCall kv_copy_call(OpSize size, bool backward) {
  OpCall c;
  const Layout l{heads_of(size), size == OpSize::kTimed ? 512 : 6, 0, kPageSize};
  const std::span<const int32_t> pages = c.shuffled(l.count, l.count);
  std::vector<PageCopy> copies;
  for (size_t i = 0; i + 1 < pages.size(); i += 2) {
    copies.push_back({.from = pages[i], .to = pages[i + 1], .slots = kPageSize / 2});
  }
  const KvLayer kv = random_kv(c, l);
  const int64_t floats = l.heads.kv * l.heads.dim * kPageSize;
  c.shape = std::to_string(copies.size()) + " x " + std::to_string(kPageSize / 2) +
            " slots G=" + std::to_string(l.heads.kv) + " D=" + std::to_string(l.heads.dim);
  const double moved = static_cast<double>(copies.size()) * static_cast<double>(floats);
  c.flops = backward ? moved : 0;
  c.read = (backward ? 8 : 4) * moved;
  c.written = 4 * moved;
  c.run = [=](Ops& ops) { backward ? ops.kv_copy_backward(copies, kv) : ops.kv_copy(copies, kv); };
  c.outputs = {ConstTensor(static_cast<float*>(kv.k), l.count, floats),
               ConstTensor(static_cast<float*>(kv.v), l.count, floats)};
  return c;
}

// kTimed's layout, or a small one of the same kind.
std::function<OpCall(OpSize)> with(OpCall (*make)(const Layout&), int64_t count, int64_t past,
                                   int64_t rows, KvType type = KvType::kF32) {
  return [=](OpSize size) {
    const Heads h = heads_of(size);
    if (size == OpSize::kTimed) return make({h, count, past, rows, type});
    return make({h, 3, past > 0 ? 70 : 0, rows > 1 ? 37 : 1, type});
  };
}

}  // namespace

std::vector<OpEntry> attention_entries() {
  const auto entry = [](const char* op, double tolerance, std::function<OpCall(OpSize)> make) {
    return OpEntry{op, DType::kF32, tolerance, std::move(make)};
  };
  return {
      entry("kv_append", 0, [](OpSize s) { return kv_append_call(s, false); }),
      entry("kv_append_backward", 0, [](OpSize s) { return kv_append_call(s, true); }),
      entry("kv_copy", 0, [](OpSize s) { return kv_copy_call(s, false); }),
      entry("kv_copy_backward", 1e-6, [](OpSize s) { return kv_copy_call(s, true); }),
      entry("attention", 1e-5, with(attention_call, 1, 0, 512)),   // prefill
      entry("attention", 1e-5, with(attention_call, 16, 511, 1)),  // decode
      entry("attention", 1e-5, with(attention_call, 16, 511, 1, KvType::kBF16)),
      entry("attention", 1e-5, with(attention_call, 16, 511, 1, KvType::kI8)),
      entry("attention", 1e-5, with(attention_call, 1, 32767, 1)),
      entry("attention", 1e-5, with(attention_call, 1, 32767, 1, KvType::kBF16)),
      entry("attention", 1e-5, with(attention_call, 1, 32767, 1, KvType::kI8)),
      entry("attention_backward", 3e-5, with(attention_backward_call, 2, 0, 256)),
  };
}

}  // namespace r1
