#include "backend/ref/ref_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/kv_vector.h"
#include "backend/ref/ref_attention.h"
#include "backend/ref/ref_experts.h"
#include "backend/ref/ref_math.h"
#include "base/error.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace r1 {
namespace {

int64_t size_of(std::span<const int32_t> span) {
  return static_cast<int64_t>(span.size());
}

float round_to_bf16(float x) {
  return bf16_to_f32(f32_to_bf16(x));
}

// x ~ scale q,  scale = max |x| / 127 over 32 elements,  q the nearest whole number, ties to even.
void round_to_bytes(float* row, int64_t count) {
  constexpr int64_t kGroup = 32;
  for (int64_t begin = 0; begin < count; begin += kGroup) {
    float top = 0;
    for (int64_t i = begin; i < begin + kGroup; ++i) top = std::max(top, std::fabs(row[i]));
    const bool tiny = top <= 1e-30f;
    for (int64_t i = begin; i < begin + kGroup; ++i) {
      row[i] = tiny ? 0.0f : top / 127.0f * std::nearbyint(row[i] * (127.0f / top));
    }
  }
}

// Where element (n, k) is among the elements of packed.data.
int64_t packed_index(const PackedWeight& packed, int64_t n, int64_t k) {
  const int64_t panel = n / kLanes, lane = n % kLanes;
  if (packed.dtype == DType::kF32) return (panel * packed.k + k) * kLanes + lane;
  const int64_t pairs = (packed.k + 1) / 2;
  return ((panel * pairs + k / 2) * kLanes + lane) * 2 + k % 2;
}

float packed_at(const PackedWeight& packed, int64_t n, int64_t k) {
  const int64_t index = packed_index(packed, n, k);
  if (packed.dtype == DType::kF32) return static_cast<const float*>(packed.data)[index];
  return bf16_to_f32(static_cast<const uint16_t*>(packed.data)[index]);
}

// w(n, k) is the matrix to pack.
template <class Weight>
void pack_any(const PackedWeight& packed, const Weight& w) {
  R1_CHECK(packed.dtype == DType::kF32 || packed.dtype == DType::kBF16);
  std::memset(packed.data, 0, static_cast<size_t>(panel_bytes(packed.dtype, packed.n, packed.k)));
  for (int64_t n = 0; n < packed.n; ++n) {
    for (int64_t k = 0; k < packed.k; ++k) {
      const int64_t index = packed_index(packed, n, k);
      if (packed.dtype == DType::kF32) {
        static_cast<float*>(packed.data)[index] = w(n, k);
      } else {
        static_cast<uint16_t*>(packed.data)[index] = f32_to_bf16(w(n, k));
      }
    }
  }
}

ref::KvPages<float> pages_of(const KvLayer& kv) {
  R1_CHECK(kv.type == KvType::kF32);
  return {static_cast<float*>(kv.k), kv.latent ? nullptr : static_cast<float*>(kv.v), kv.kv_heads,
          kv.key_dim, kv.value_dim};
}

// Calls f(page, head, slot, row) for every position of the sequences.
template <class F>
void for_each_slot(std::span<const Sequence> seqs, const KvLayer& kv, F&& f) {
  ref::for_each_row(seqs, kv.kv_heads,
                    [&](const Sequence& seq, int64_t row, int64_t at, int64_t g) {
                      f(seq.pages[at / kPageSize], g, at % kPageSize, row);
                    });
}

// The pages that the sequences read, as floats: those of a kF32 layer themselves, else in `memory`.
ref::KvPages<float> pages_read(const KvLayer& kv, std::span<const Sequence> seqs, Buffer& memory) {
  if (kv.type == KvType::kF32) return pages_of(kv);
  std::vector<Sequence> whole(seqs.begin(), seqs.end());
  int64_t pages = 0;
  for (Sequence& s : whole) {
    s.count += s.position;
    s.position = 0;
    for (int64_t i = 0; i * kPageSize < s.count; ++i) {
      pages = std::max<int64_t>(pages, s.pages[i] + 1);
    }
  }
  KvLayer floats = kv;
  floats.type = KvType::kF32;
  memory = Buffer(static_cast<size_t>(pages * floats.page_bytes()));
  floats.k = memory.data();
  floats.v = memory.data() + pages * kv.kv_heads * floats.k_bytes();
  std::vector<float> x(static_cast<size_t>(std::max(kv.key_dim, kv.value_dim)));
  for_each_slot(whole, kv, [&](int64_t page, int64_t g, int64_t slot, int64_t) {
    kv_key(kv, page, g, slot).read(x.data());
    kv_key(floats, page, g, slot).write(x.data());
    if (kv.latent) return;
    kv_value(kv, page, g, slot).read(x.data());
    kv_value(floats, page, g, slot).write(x.data());
  });
  return pages_of(floats);
}

}  // namespace

std::unique_ptr<Ops> make_ref_ops() {
  return std::make_unique<RefOps>();
}

namespace {

// x, or what rounding to bf16 leaves of it, kept in `memory`.
ConstTensor rounded_to(DType dtype, ConstTensor x, std::vector<float>& memory) {
  if (dtype != DType::kBF16) return x;
  for (int64_t t = 0; t < x.rows; ++t) {
    std::transform(x.row(t), x.row(t) + x.cols, std::back_inserter(memory), round_to_bf16);
  }
  return {memory.data(), x.rows, x.cols};
}

}  // namespace

void RefOps::pack(ConstTensor w, PackedWeight packed) {
  R1_CHECK(packed.n == w.rows && packed.k == w.cols);
  pack_any(packed, [&](int64_t n, int64_t k) { return w.row(n)[k]; });
}

void RefOps::pack_transposed(ConstTensor w, PackedWeight packed) {
  R1_CHECK(packed.n == w.cols && packed.k == w.rows);
  pack_any(packed, [&](int64_t n, int64_t k) { return w.row(k)[n]; });
}

void RefOps::matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add, Tensor out) {
  R1_CHECK(x.cols == w.k && out.cols == w.n && out.rows == x.rows);
  std::vector<float> rounded;
  ref::matmul<float>(
      rounded_to(w.dtype, x, rounded), [&](int64_t n, int64_t k) { return packed_at(w, n, k); },
      bias, add, out);
}

// The input is what its rounding leaves of it, the weights are their values.
void RefOps::matmul_mapped(ConstTensor x, std::span<const MappedWeight> parts, const float* bias,
                           bool add, Tensor out) {
  int64_t column = 0;
  for (const MappedWeight& w : parts) {
    R1_CHECK(x.cols == w.k);
    std::vector<float> rows(static_cast<size_t>(x.rows * x.cols)),
        weights(static_cast<size_t>(w.n * w.k));
    for (int64_t t = 0; t < x.rows; ++t) {
      float* row = rows.data() + t * x.cols;
      std::copy_n(x.row(t), x.cols, row);
      if (w.dtype == DType::kBF16) std::transform(row, row + x.cols, row, round_to_bf16);
      if (dtype_block(w.dtype) > 1) round_to_bytes(row, x.cols);
    }
    for (int64_t n = 0; n < w.n; ++n) dequantize_row(w, n, weights.data() + n * w.k);
    ref::matmul<float>(
        ConstTensor(rows.data(), x.rows, x.cols),
        [&](int64_t n, int64_t k) { return weights[static_cast<size_t>(n * w.k + k)]; },
        bias ? bias + column : nullptr, add, out.slice_cols(column, w.n));
    column += w.n;
  }
  R1_CHECK(column == out.cols);
}

void RefOps::matmuls(std::span<const Product> products) {
  for (const Product& p : products) matmul(p.x, *p.w, nullptr, false, p.out);
}

void RefOps::matmuls_backward_weight(std::span<const WeightGradient> gradients) {
  for (const WeightGradient& g : gradients) matmul_backward_weight(g.dout, g.x, g.dtype, g.dw);
}

void RefOps::matmul_backward_weight(ConstTensor dout, ConstTensor x, DType dtype, Tensor dw) {
  R1_CHECK(dout.rows == x.rows && dw.rows == dout.cols && dw.cols == x.cols);
  std::vector<float> rounded_dout, rounded_x;
  ref::matmul_backward_weight<float>(rounded_to(dtype, dout, rounded_dout),
                                     rounded_to(dtype, x, rounded_x), dw);
}

void RefOps::matmul_backward_bias(ConstTensor dout, float* dbias) {
  ref::matmul_backward_bias<float>(dout, dbias);
}

void RefOps::embed(std::span<const int32_t> ids, ConstTensor table, Tensor out) {
  gather_rows(table, ids, out);
}

void RefOps::embed_mapped(std::span<const int32_t> ids, const MappedWeight& table, Tensor out) {
  R1_CHECK(out.rows == size_of(ids) && out.cols == table.k);
  for (int64_t t = 0; t < out.rows; ++t) {
    dequantize_row(table, ids[static_cast<size_t>(t)], out.row(t));
  }
}

void RefOps::embed_backward(std::span<const int32_t> ids, ConstTensor dout, Tensor dtable) {
  gather_rows_backward(dout, ids, dtable);
}

void RefOps::gather_rows(ConstTensor x, std::span<const int32_t> rows, Tensor out) {
  R1_CHECK(out.rows == size_of(rows) && out.cols == x.cols);
  ref::gather_rows<float>(x, rows, out);
}

void RefOps::gather_rows_backward(ConstTensor dout, std::span<const int32_t> rows, Tensor dx) {
  R1_CHECK(dout.rows == size_of(rows) && dout.cols == dx.cols);
  ref::gather_rows_backward<float>(dout, rows, dx);
}

void RefOps::add(Tensor x, ConstTensor y) {
  R1_CHECK(x.rows == y.rows && x.cols == y.cols);
  ref::add<float>(x, y);
}

void RefOps::scale(Tensor x, float factor) {
  ref::scale<float>(x, factor);
}

void RefOps::rms_norm(ConstTensor x, std::span<const float> w, int64_t groups, float eps,
                      Tensor out, float* rstd) {
  R1_CHECK(x.cols == groups * static_cast<int64_t>(w.size()));
  R1_CHECK(out.rows == x.rows && out.cols == x.cols);
  ref::rms_norm<float>(x, w, groups, static_cast<double>(eps), out, rstd);
}

void RefOps::rms_norm_backward(ConstTensor dout, ConstTensor x, std::span<const float> w,
                               int64_t groups, const float* rstd, bool add, Tensor dx, float* dw) {
  R1_CHECK(x.cols == groups * static_cast<int64_t>(w.size()));
  R1_CHECK(dout.rows == x.rows && dout.cols == x.cols);
  R1_CHECK(dx.rows == x.rows && dx.cols == x.cols);
  ref::rms_norm_backward<float>(dout, x, w, groups, rstd, add, dx, dw);
}

void RefOps::rope(Tensor x, int64_t head_dim, bool interleaved, std::span<const int32_t> positions,
                  ConstTensor cos_sin) {
  R1_CHECK(x.cols % head_dim == 0 && cos_sin.cols % 2 == 0 && cos_sin.cols <= head_dim);
  R1_CHECK(x.rows == size_of(positions));
  ref::rope<float>(x, head_dim, interleaved, positions, cos_sin, +1);
}

void RefOps::rope_backward(Tensor dx, int64_t head_dim, bool interleaved,
                           std::span<const int32_t> positions, ConstTensor cos_sin) {
  R1_CHECK(dx.cols % head_dim == 0 && cos_sin.cols % 2 == 0 && cos_sin.cols <= head_dim);
  R1_CHECK(dx.rows == size_of(positions));
  ref::rope<float>(dx, head_dim, interleaved, positions, cos_sin, -1);
}

void RefOps::copy_heads(ConstTensor x, int64_t x_step, Tensor out, int64_t out_step, int64_t heads,
                        int64_t width, bool add) {
  R1_CHECK(x.rows == out.rows);
  ref::copy_heads<float>(x, x_step, out, out_step, heads, width, add);
}

void RefOps::swiglu(ConstTensor gate_up, Tensor out) {
  R1_CHECK(gate_up.cols == 2 * out.cols && gate_up.rows == out.rows);
  ref::swiglu<float>(gate_up, out);
}

void RefOps::swiglu_backward(ConstTensor dout, ConstTensor gate_up, Tensor dgate_up) {
  R1_CHECK(gate_up.cols == 2 * dout.cols && gate_up.rows == dout.rows);
  R1_CHECK(dgate_up.cols == gate_up.cols && dgate_up.rows == gate_up.rows);
  ref::swiglu_backward<float>(dout, gate_up, dgate_up);
}

void RefOps::route(ConstTensor logits, const float* bias, const Routing& routing, int32_t* expert,
                   float* weight) {
  ref::route<float>(logits, bias, routing, expert, weight);
}

void RefOps::route_backward(const float* dweight, ConstTensor logits, const int32_t* expert,
                            const Routing& routing, Tensor dlogits) {
  R1_CHECK(dlogits.rows == logits.rows && dlogits.cols == logits.cols);
  ref::route_backward<float>(dweight, logits, expert, routing, dlogits);
}

void RefOps::sort_by_expert(std::span<const int32_t> expert, int64_t chosen, int64_t experts,
                            int32_t* slot, int32_t* row, int32_t* first) {
  int32_t next = 0;
  for (int64_t e = 0; e < experts; ++e) {
    first[e] = next;
    for (int64_t i = 0; i < size_of(expert); ++i) {
      if (expert[static_cast<size_t>(i)] != e) continue;
      row[next] = static_cast<int32_t>(i / chosen);
      slot[i] = next++;
    }
  }
  first[experts] = next;
}

void RefOps::count_copies(const int32_t* first, std::span<int64_t> loads) {
  for (size_t e = 0; e < loads.size(); ++e) loads[e] += first[e + 1] - first[e];
}

void RefOps::matmul_experts(ConstTensor x, std::span<const PackedWeight> experts,
                            const int32_t* first, Tensor out) {
  for (size_t e = 0; e < experts.size(); ++e) {
    const int64_t begin = first[e], count = first[e + 1] - begin;
    matmul(x.slice_rows(begin, count), experts[e], nullptr, false, out.slice_rows(begin, count));
  }
}

void RefOps::matmul_mapped_experts(ConstTensor x,
                                   std::span<const std::span<const MappedWeight>> experts,
                                   const int32_t* first, Tensor out) {
  for (size_t e = 0; e < experts.size(); ++e) {
    const int64_t begin = first[e], count = first[e + 1] - begin;
    const Tensor rows = out.slice_rows(begin, count);
    matmul_mapped(x.slice_rows(begin, count), experts[e], nullptr, false, rows);
  }
}

void RefOps::matmul_experts_backward_weight(ConstTensor dout, ConstTensor x, DType dtype,
                                            const int32_t* first, std::span<const Tensor> dw) {
  for (size_t e = 0; e < dw.size(); ++e) {
    const int64_t begin = first[e], count = first[e + 1] - begin;
    const ConstTensor rows = dout.slice_rows(begin, count);
    matmul_backward_weight(rows, x.slice_rows(begin, count), dtype, dw[e]);
  }
}

void RefOps::combine_rows(ConstTensor y, std::span<const int32_t> slot, const float* weight,
                          bool add, Tensor out) {
  R1_CHECK(y.rows == size_of(slot) && y.cols == out.cols);
  ref::combine_rows<float>(y, slot, weight, add, out);
}

void RefOps::combine_rows_backward(ConstTensor dout, ConstTensor y, std::span<const int32_t> slot,
                                   const float* weight, Tensor dy, float* dweight) {
  R1_CHECK(y.rows == size_of(slot) && dy.rows == y.rows && dout.cols == y.cols);
  ref::combine_rows_backward<float>(dout, y, slot, weight, dy, dweight);
}

void RefOps::kv_append(ConstTensor k, ConstTensor v, Sequences seqs, KvLayer kv) {
  R1_CHECK(k.cols == kv.kv_heads * kv.key_dim);
  R1_CHECK(kv.latent || v.cols == kv.kv_heads * kv.value_dim);
  if (kv.type == KvType::kF32) return ref::kv_append<float>(k, v, seqs.bounds, pages_of(kv));
  for_each_slot(seqs.bounds, kv, [&](int64_t page, int64_t g, int64_t slot, int64_t row) {
    kv_key(kv, page, g, slot).write(k.row(row) + g * kv.key_dim);
    if (!kv.latent) kv_value(kv, page, g, slot).write(v.row(row) + g * kv.value_dim);
  });
}

void RefOps::kv_append_backward(KvLayer dkv, Sequences seqs, Tensor dk, Tensor dv) {
  R1_CHECK(dk.cols == dkv.kv_heads * dkv.key_dim);
  R1_CHECK(dkv.latent || dv.cols == dkv.kv_heads * dkv.value_dim);
  Buffer memory;
  ref::kv_append_backward<float>(pages_read(dkv, seqs.bounds, memory), seqs.bounds, dk, dv);
}

void RefOps::kv_copy(std::span<const PageCopy> copies, KvLayer kv) {
  if (kv.type == KvType::kF32) return ref::kv_copy<float>(copies, pages_of(kv));
  for (const PageCopy& c : copies) {
    for (int64_t i = 0; i < kv.kv_heads * c.slots; ++i) {
      const int64_t g = i / c.slots, slot = i % c.slots;
      kv_key(kv, c.to, g, slot).copy(kv_key(kv, c.from, g, slot));
      if (!kv.latent) kv_value(kv, c.to, g, slot).copy(kv_value(kv, c.from, g, slot));
    }
  }
}

void RefOps::kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) {
  ref::kv_copy_backward<float>(copies, pages_of(dkv));
}

void RefOps::attention(ConstTensor q, Sequences seqs, KvLayer kv, float scale, Tensor out,
                       float* lse) {
  R1_CHECK(q.cols % (kv.key_dim * kv.kv_heads) == 0);
  R1_CHECK(out.cols == q.cols / kv.key_dim * kv.value_dim);
  Buffer memory;
  ref::attention<float>(q, seqs.bounds, pages_read(kv, seqs.bounds, memory),
                        static_cast<double>(scale), out, lse);
}

void RefOps::attention_backward(ConstTensor dout, ConstTensor q, ConstTensor out, const float* lse,
                                Sequences seqs, KvLayer kv, float scale, Tensor dq, KvLayer dkv) {
  R1_CHECK(q.cols % (kv.key_dim * kv.kv_heads) == 0 && dq.cols == q.cols);
  R1_CHECK(dout.cols == q.cols / kv.key_dim * kv.value_dim && out.cols == dout.cols);
  Buffer memory;
  ref::attention_backward<float>(dout, q, out, lse, seqs.bounds,
                                 pages_read(kv, seqs.bounds, memory), static_cast<double>(scale),
                                 dq, pages_of(dkv));
}

void RefOps::log_softmax(ConstTensor logits, std::span<const int32_t> targets, float* logprob,
                         float* max, float* log_sum, float* entropy) {
  R1_CHECK(logits.rows == size_of(targets));
  ref::log_softmax<float>(logits, targets, logprob, max, log_sum, entropy);
}

void RefOps::log_softmax_backward(Tensor logits, std::span<const int32_t> targets,
                                  const float* dlogprob, const float* max, const float* log_sum,
                                  float scale) {
  R1_CHECK(logits.rows == size_of(targets));
  ref::log_softmax_backward<float>(logits, targets, dlogprob, max, log_sum,
                                   static_cast<double>(scale));
}

void RefOps::shape_logits(Tensor logits, std::span<const LogitShape> shapes) {
  R1_CHECK(logits.rows == static_cast<int64_t>(shapes.size()));
  for (int64_t r = 0; r < logits.rows; ++r) {
    ref::shape_row(shapes[static_cast<size_t>(r)], logits.row(r), logits.cols);
  }
}

void RefOps::argmax(ConstTensor logits, int32_t* token, float* value) {
  for (int64_t r = 0; r < logits.rows; ++r) {
    const float* row = logits.row(r);
    const float* best = std::max_element(row, row + logits.cols);
    token[r] = static_cast<int32_t>(best - row);
    value[r] = *best;
  }
}

void RefOps::sample(ConstTensor logits, const float* uniform, int32_t* token) {
  for (int64_t r = 0; r < logits.rows; ++r) {
    token[r] = ref::sample_row(logits.row(r), logits.cols, static_cast<double>(uniform[r]));
  }
}

double RefOps::sum_squares(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

//   g = gradient_scale * grad;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w -= learning_rate * (m / bias1 / (sqrt(v / bias2) + epsilon) + weight_decay * w)
void RefOps::adamw(const AdamW& hyper, std::span<float> w, std::span<const float> grad,
                   std::span<float> m, std::span<float> v) {
  R1_CHECK(w.size() == grad.size() && w.size() == m.size() && w.size() == v.size());
  const double b1 = static_cast<double>(hyper.beta1), b2 = static_cast<double>(hyper.beta2);
  for (size_t i = 0; i < w.size(); ++i) {
    const double g = static_cast<double>(hyper.gradient_scale) * static_cast<double>(grad[i]);
    const double first = b1 * static_cast<double>(m[i]) + (1 - b1) * g;
    const double second = b2 * static_cast<double>(v[i]) + (1 - b2) * g * g;
    const double step =
        first / static_cast<double>(hyper.bias1) /
        (std::sqrt(second / static_cast<double>(hyper.bias2)) + static_cast<double>(hyper.epsilon));
    const auto old = static_cast<double>(w[i]);
    m[i] = static_cast<float>(first);
    v[i] = static_cast<float>(second);
    w[i] = static_cast<float>(old - static_cast<double>(hyper.learning_rate) *
                                        (step + static_cast<double>(hyper.weight_decay) * old));
  }
}

}  // namespace r1
