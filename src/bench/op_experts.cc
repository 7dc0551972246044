// Mixtures of experts, and the moves of latent attention's heads.
#include <algorithm>
#include <vector>

#include "backend/panels.h"
#include "bench/op_bench.h"

namespace r1 {
namespace {

// T rows of width C, each to K of E experts of width F.
struct Experts {
  int64_t t, c, e, k, f;
};

Experts experts_of(OpSize size) {
  return size == OpSize::kTimed ? Experts{512, 1024, 64, 6, 512} : Experts{21, 100, 8, 2, 40};
}

Routing routing_of(const Experts& m) {
  return {.sigmoid = true,
          .experts = m.k,
          .groups = 4,
          .groups_per_row = 2,
          .group_pairs = true,
          .normalize = true,
          .scale = 2.5f};
}

std::string text(const char* name, int64_t value) {
  return std::string(name) + "=" + std::to_string(value);
}

// Every expert gets the same number of copies.
OpCall matmuls_call(OpSize size) {
  OpCall c;
  const Experts m = experts_of(size);
  const int64_t rows = m.t * m.k / m.e;
  c.shape =
      std::to_string(m.e) + " x " + text("T", rows) + " " + text("N", m.f) + " " + text("K", m.c);
  std::vector<PackedWeight> weights;
  std::vector<Tensor> matrices;
  std::vector<ConstTensor> inputs;
  for (int64_t e = 0; e < m.e; ++e) {
    matrices.push_back(c.random(m.f, m.c));
    weights.push_back(
        {DType::kF32, m.f, m.c, c.zeros(1, panel_bytes(DType::kF32, m.f, m.c) / 4).data});
    inputs.push_back(c.random(rows, m.c));
    c.outputs.push_back(c.zeros(rows, m.f));
  }
  const double products = static_cast<double>(m.e * m.f * m.c);
  c.flops = 2.0 * products * static_cast<double>(rows);
  c.read = 4.0 * (products + static_cast<double>(m.e * rows * m.c));
  c.written = 4.0 * static_cast<double>(m.e * rows * m.f);
  c.prepare = [=](Ops& ops) {
    for (size_t e = 0; e < weights.size(); ++e) ops.pack(matrices[e], weights[e]);
  };
  c.run = [=, outputs = c.outputs](Ops& ops) {
    std::vector<Product> list;
    for (size_t e = 0; e < weights.size(); ++e) {
      const ConstTensor& out = outputs[e];
      list.push_back({inputs[e], &weights[e], {const_cast<float*>(out.data), out.rows, out.cols}});
    }
    ops.matmuls(list);
  };
  return c;
}

OpCall weight_gradients_call(OpSize size) {
  OpCall c;
  const Experts m = experts_of(size);
  const int64_t rows = m.t * m.k / m.e;
  c.shape =
      std::to_string(m.e) + " x " + text("T", rows) + " " + text("N", m.f) + " " + text("K", m.c);
  std::vector<WeightGradient> list;
  for (int64_t e = 0; e < m.e; ++e) {
    list.push_back({c.random(rows, m.f), c.random(rows, m.c), DType::kF32, c.random(m.f, m.c)});
    c.outputs.push_back(list.back().dw);
  }
  const double products = static_cast<double>(m.e * m.f * m.c);
  c.flops = 2.0 * products * static_cast<double>(rows);
  c.read = 4.0 * (products + static_cast<double>(m.e * rows * (m.c + m.f)));
  c.written = 4.0 * products;
  c.run = [=](Ops& ops) { ops.matmuls_backward_weight(list); };
  return c;
}

// The rotated part of a key, to every head.
OpCall copy_heads_call(OpSize size) {
  OpCall c;
  const int64_t t = size == OpSize::kTimed ? 512 : 21, heads = 16, width = 64, step = 192;
  c.shape = text("T", t) + " " + text("H", heads) + " " + text("width", width);
  const Tensor x = c.random(t, width), out = c.zeros(t, heads * step);
  c.read = 4.0 * static_cast<double>(t * width);
  c.written = 4.0 * static_cast<double>(t * heads * width);
  c.run = [=](Ops& ops) { ops.copy_heads(x, 0, out, step, heads, width, false); };
  c.outputs = {out};
  return c;
}

OpCall route_call(OpSize size, bool backward) {
  OpCall c;
  const Experts m = experts_of(size);
  c.shape = text("T", m.t) + " " + text("E", m.e) + " " + text("K", m.k);
  const Tensor logits = c.random(m.t, m.e), weight = c.zeros(m.t, m.k);
  const Tensor dweight = c.random(m.t, m.k), dlogits = c.zeros(m.t, m.e);
  const std::span<int32_t> expert = c.shuffled(m.t * m.k, m.t * m.k);
  const Routing routing = routing_of(m);
  c.flops = 23.0 * static_cast<double>(m.t * m.e);  // exp, and the sigmoid's arithmetic
  c.read = 4.0 * static_cast<double>(m.t * (backward ? m.e + 2 * m.k : m.e));
  c.written = 4.0 * static_cast<double>(m.t * (backward ? m.e : 2 * m.k));
  const auto route = [=](Ops& ops) {
    ops.route(logits, nullptr, routing, expert.data(), weight.data);
  };
  if (backward) {
    c.prepare = route;
    c.run = [=](Ops& ops) {
      ops.route_backward(dweight.data, logits, expert.data(), routing, dlogits);
    };
    c.outputs = {dlogits};
  } else {
    c.run = route;
    c.outputs = {weight};
    c.exact = {expert};
  }
  return c;
}

OpCall combine_call(OpSize size, bool backward) {
  OpCall c;
  const Experts m = experts_of(size);
  c.shape = text("T", m.t) + " " + text("K", m.k) + " " + text("C", m.c);
  const Tensor y = c.random(m.t * m.k, m.c), weight = c.random(m.t, m.k);
  const Tensor out = c.zeros(m.t, m.c), dout = c.random(m.t, m.c);
  const Tensor dy = c.zeros(m.t * m.k, m.c), dweight = c.zeros(m.t, m.k);
  const std::span<const int32_t> slot = c.shuffled(m.t * m.k, m.t * m.k);
  const double copies = static_cast<double>(m.t * m.k * m.c), rows = static_cast<double>(m.t * m.c);
  c.flops = (backward ? 3.0 : 2.0) * copies;
  c.read = 4.0 * (copies + (backward ? rows : 0.0));
  c.written = 4.0 * (backward ? copies : rows);
  if (backward) {
    c.run = [=](Ops& ops) {
      ops.combine_rows_backward(dout, y, slot, weight.data, dy, dweight.data);
    };
    c.outputs = {dy, dweight};
  } else {
    c.run = [=](Ops& ops) { ops.combine_rows(y, slot, weight.data, false, out); };
    c.outputs = {out};
  }
  return c;
}

}  // namespace

std::vector<OpEntry> expert_entries() {
  const auto entry = [](const char* op, double tolerance, std::function<OpCall(OpSize)> make) {
    return OpEntry{op, DType::kF32, tolerance, std::move(make)};
  };
  return {
      entry("matmuls", 1e-5, matmuls_call),
      entry("matmuls_backward_weight", 1e-5, weight_gradients_call),
      entry("copy_heads", 0, copy_heads_call),
      entry("route", 1e-5, [](OpSize s) { return route_call(s, false); }),
      entry("route_backward", 1e-5, [](OpSize s) { return route_call(s, true); }),
      entry("combine_rows", 1e-5, [](OpSize s) { return combine_call(s, false); }),
      entry("combine_rows_backward", 1e-5, [](OpSize s) { return combine_call(s, true); }),
  };
}

}  // namespace r1
