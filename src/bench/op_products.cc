// Packing and the matrix products.
#include <algorithm>
#include <array>
#include <utility>

#include "backend/panels.h"
#include "bench/op_bench.h"
#include "bench/random_weights.h"

namespace r1 {
namespace {

struct ProductShape {
  int64_t t, n, k;
};

// The small shapes leave a part of a register tile and of a panel over.
ProductShape product_of(OpSize size, int64_t rows) {
  return size == OpSize::kTimed ? ProductShape{rows, 1024, 1024}
                                : ProductShape{std::min<int64_t>(rows, 37), 120, 75};
}

std::string shape_of(const ProductShape& p) {
  return "T=" + std::to_string(p.t) + " N=" + std::to_string(p.n) + " K=" + std::to_string(p.k);
}

double weight_bytes(DType dtype, const ProductShape& p) {
  return static_cast<double>(panel_bytes(dtype, p.n, p.k));
}

PackedWeight packed_weight(OpCall& c, DType dtype, const ProductShape& p) {
  return {dtype, p.n, p.k, c.zeros(1, panel_bytes(dtype, p.n, p.k) / 4).data};
}

OpCall pack_call(OpSize size, DType dtype, bool transpose) {
  OpCall c;
  const ProductShape p = product_of(size, 1);
  const Tensor w = transpose ? c.random(p.k, p.n) : c.random(p.n, p.k);
  const PackedWeight packed = packed_weight(c, dtype, p);
  c.shape = "N=" + std::to_string(p.n) + " K=" + std::to_string(p.k);
  c.read = 4.0 * static_cast<double>(p.n * p.k);
  c.written = weight_bytes(dtype, p);
  c.run = [=](Ops& ops) { transpose ? ops.pack_transposed(w, packed) : ops.pack(w, packed); };
  c.exact = {{static_cast<const int32_t*>(packed.data),
              static_cast<size_t>(panel_bytes(dtype, p.n, p.k) / 4)}};
  return c;
}

OpCall matmul_call(OpSize size, DType dtype, int64_t rows) {
  OpCall c;
  const ProductShape p = product_of(size, rows);
  const Tensor x = c.random(p.t, p.k), w = c.random(p.n, p.k), out = c.zeros(p.t, p.n);
  const PackedWeight packed = packed_weight(c, dtype, p);
  c.shape = shape_of(p);
  c.flops = 2.0 * static_cast<double>(p.t * p.n * p.k);
  c.read = weight_bytes(dtype, p) + 4.0 * static_cast<double>(p.t * p.k);
  c.written = 4.0 * static_cast<double>(p.t * p.n);
  c.prepare = [=](Ops& ops) { ops.pack(w, packed); };
  c.run = [=](Ops& ops) { ops.matmul(x, packed, nullptr, false, out); };
  c.outputs = {out};
  return c;
}

MappedWeight mapped_weight(OpCall& c, DType dtype, int64_t n, int64_t k) {
  const size_t bytes = dtype_bytes(dtype, n * k);
  auto* data = reinterpret_cast<std::byte*>(c.memory.floats(static_cast<int64_t>(bytes / 4 + 1)));
  random_rows(dtype, n, k, 0.5, c.rng, data);
  return {dtype, n, k, data};
}

OpCall matmul_mapped_call(OpSize size, DType dtype, int64_t rows) {
  OpCall c;
  ProductShape p = product_of(size, rows);
  if (size == OpSize::kCheck) p.k = 512;  // block formats want whole blocks
  const Tensor x = c.random(p.t, p.k), out = c.zeros(p.t, p.n);
  const MappedWeight w = mapped_weight(c, dtype, p.n, p.k);
  c.shape = shape_of(p);
  c.flops = 2.0 * static_cast<double>(p.t * p.n * p.k);
  c.read = static_cast<double>(p.n * w.row_bytes()) + 4.0 * static_cast<double>(p.t * p.k);
  c.written = 4.0 * static_cast<double>(p.t * p.n);
  c.run = [=](Ops& ops) { ops.matmul_mapped(x, {&w, 1}, nullptr, false, out); };
  c.outputs = {out};
  return c;
}

// [gate; up] of N rows together. What the weight's format is, `multiply` knows.
template <class Multiply>
OpCall finish_swiglu(OpCall c, const ProductShape& p, double weight, const Multiply& multiply) {
  const Tensor x = c.random(p.t, p.k), out = c.zeros(p.t, p.n / 2);
  c.shape = shape_of(p);
  c.flops = 2.0 * static_cast<double>(p.t * p.n * p.k);
  c.read = weight + 4.0 * static_cast<double>(p.t * p.k);
  c.written = 2.0 * static_cast<double>(p.t * p.n);
  c.run = [=](Ops& ops) { multiply(ops, x, out); };
  c.outputs = {out};
  return c;
}

OpCall matmul_swiglu_call(OpSize size, DType dtype) {
  OpCall c;
  ProductShape p = product_of(size, 512);
  p.n += p.n % 2;
  const Tensor w = c.random(p.n, p.k);
  const PackedWeight packed = packed_weight(c, dtype, p);
  c.prepare = [=](Ops& ops) { ops.pack(w, packed); };
  return finish_swiglu(
      std::move(c), p, weight_bytes(dtype, p),
      [=](Ops& ops, ConstTensor x, Tensor out) { ops.matmul_swiglu(x, packed, Tensor(), out); });
}

OpCall matmul_mapped_swiglu_call(OpSize size, DType dtype) {
  OpCall c;
  ProductShape p = product_of(size, 512);
  if (size == OpSize::kCheck) p.k = 512;
  p.n += p.n % 2;
  const std::array<MappedWeight, 2> w = {mapped_weight(c, dtype, p.n / 2, p.k),
                                         mapped_weight(c, dtype, p.n / 2, p.k)};
  const auto bytes = static_cast<double>(p.n * w[0].row_bytes());
  return finish_swiglu(std::move(c), p, bytes, [=](Ops& ops, ConstTensor x, Tensor out) {
    ops.matmul_mapped_swiglu(x, w, Tensor(), out);
  });
}

// Each of V rows once, in any order.
OpCall embed_mapped_call(OpSize size, DType dtype) {
  OpCall c;
  const int64_t v = size == OpSize::kTimed ? 4096 : 30, width = size == OpSize::kTimed ? 1024 : 256;
  const Tensor out = c.zeros(v, width);
  const MappedWeight table = mapped_weight(c, dtype, v, width);
  const std::span<const int32_t> ids = c.shuffled(v, v);
  c.shape = "T=V=" + std::to_string(v) + " C=" + std::to_string(width);
  c.read = static_cast<double>(v * table.row_bytes());
  c.written = 4.0 * static_cast<double>(v * width);
  c.run = [=](Ops& ops) { ops.embed_mapped(ids, table, out); };
  c.outputs = {out};
  return c;
}

OpCall weight_gradient_call(OpSize size, DType dtype) {
  OpCall c;
  const ProductShape p = product_of(size, 512);
  const Tensor dout = c.random(p.t, p.n), x = c.random(p.t, p.k), dw = c.random(p.n, p.k);
  c.shape = shape_of(p);
  c.flops = 2.0 * static_cast<double>(p.t * p.n * p.k);
  c.read = 4.0 * static_cast<double>(p.t * (p.n + p.k) + p.n * p.k);
  c.written = 4.0 * static_cast<double>(p.n * p.k);
  c.run = [=](Ops& ops) { ops.matmul_backward_weight(dout, x, dtype, dw); };
  c.outputs = {dw};
  return c;
}

OpCall bias_gradient_call(OpSize size) {
  OpCall c;
  const ProductShape p = product_of(size, 512);
  const Tensor dout = c.random(p.t, p.n), dbias = c.random(1, p.n);
  c.shape = "T=" + std::to_string(p.t) + " N=" + std::to_string(p.n);
  c.flops = static_cast<double>(p.t * p.n);
  c.read = 4.0 * static_cast<double>(p.t * p.n + p.n);
  c.written = 4.0 * static_cast<double>(p.n);
  c.run = [=](Ops& ops) { ops.matmul_backward_bias(dout, dbias.data); };
  c.outputs = {dbias};
  return c;
}

}  // namespace

std::vector<OpEntry> product_entries() {
  std::vector<OpEntry> entries;
  const DType dtypes[] = {DType::kF32, DType::kBF16};
  for (const bool transpose : {false, true}) {
    for (const DType dtype : dtypes) {
      entries.push_back({transpose ? "pack_transposed" : "pack", dtype, 0,
                         [=](OpSize size) { return pack_call(size, dtype, transpose); }});
    }
  }
  for (const DType dtype : dtypes) {
    for (const int64_t rows : {1, 16, 512}) {
      entries.push_back(
          {"matmul", dtype, 1e-5, [=](OpSize size) { return matmul_call(size, dtype, rows); }});
    }
  }
  const DType mapped[] = {DType::kF32,  DType::kBF16, DType::kF16,  DType::kQ8_0,
                          DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                          DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
  for (const DType dtype : mapped) {
    for (const int64_t rows : {1, 16, 512}) {
      entries.push_back({"matmul_mapped", dtype, 1e-5,
                         [=](OpSize size) { return matmul_mapped_call(size, dtype, rows); }});
    }
  }
  for (const DType dtype : dtypes) {
    entries.push_back({"matmul_swiglu", dtype, 1e-5,
                       [=](OpSize size) { return matmul_swiglu_call(size, dtype); }});
  }
  entries.push_back({"matmul_mapped_swiglu", DType::kQ8_0, 1e-5,
                     [](OpSize size) { return matmul_mapped_swiglu_call(size, DType::kQ8_0); }});
  for (const DType dtype : {DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    entries.push_back(
        {"embed_mapped", dtype, 0, [=](OpSize size) { return embed_mapped_call(size, dtype); }});
  }
  for (const DType dtype : dtypes) {
    entries.push_back({"matmul_backward_weight", dtype, 1e-5,
                       [=](OpSize size) { return weight_gradient_call(size, dtype); }});
  }
  entries.push_back({"matmul_backward_bias", DType::kF32, 1e-5, bias_gradient_call});
  return entries;
}

}  // namespace r1
