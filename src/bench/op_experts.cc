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

// Whether experts' products are a list of them, or one op over sorted copies; and of what.
enum class Form { kList, kPacked, kMapped };

// Every expert gets the same number of copies.
struct Copies {
  Copies(OpCall& c, OpSize size) : m(experts_of(size)), each(m.t * m.k / m.e) {
    c.shape =
        std::to_string(m.e) + " x " + text("T", each) + " " + text("N", m.f) + " " + text("K", m.c);
    c.flops = 2.0 * products() * static_cast<double>(each);
    const auto bounds = c.shuffled(m.e + 1, m.e + 1);
    for (size_t e = 0; e < bounds.size(); ++e) bounds[e] = static_cast<int32_t>(e) * int(each);
    first = bounds.data();
  }
  double products() const { return static_cast<double>(m.e * m.f * m.c); }
  double rows() const { return static_cast<double>(m.e * each); }
  Tensor of(const Tensor& all, int64_t e) const { return all.slice_rows(e * each, each); }

  Experts m;
  int64_t each;
  const int32_t* first;
};

OpCall products_call(OpSize size, Form form) {
  OpCall c;
  const Copies copies(c, size);
  const Experts& m = copies.m;
  const Tensor x = c.random(m.e * copies.each, m.c), out = c.zeros(x.rows, m.f);
  std::vector<Tensor> matrices;
  std::vector<PackedWeight> packed;
  std::vector<MappedWeight> mapped;
  for (int64_t e = 0; e < m.e; ++e) {
    matrices.push_back(c.random(m.f, m.c));
    packed.push_back(
        {DType::kF32, m.f, m.c, c.zeros(1, panel_bytes(DType::kF32, m.f, m.c) / 4).data});
    mapped.push_back(
        {DType::kF32, m.f, m.c, reinterpret_cast<const std::byte*>(matrices.back().data)});
  }
  c.read = 4.0 * (copies.products() + copies.rows() * static_cast<double>(m.c));
  c.written = 4.0 * copies.rows() * static_cast<double>(m.f);
  c.prepare = [=](Ops& ops) {
    for (size_t e = 0; e < packed.size(); ++e) ops.pack(matrices[e], packed[e]);
  };
  c.run = [=](Ops& ops) {
    if (form == Form::kPacked) return ops.matmul_experts(x, packed, copies.first, out);
    if (form == Form::kMapped) {
      std::vector<std::span<const MappedWeight>> parts;
      for (const MappedWeight& w : mapped) parts.emplace_back(&w, 1);
      return ops.matmul_mapped_experts(x, parts, copies.first, out);
    }
    std::vector<Product> list;
    for (int64_t e = 0; e < copies.m.e; ++e) {
      list.push_back({copies.of(x, e), &packed[static_cast<size_t>(e)], copies.of(out, e)});
    }
    ops.matmuls(list);
  };
  c.outputs = {out};
  return c;
}

OpCall weight_gradients_call(OpSize size, Form form) {
  OpCall c;
  const Copies copies(c, size);
  const Experts& m = copies.m;
  const Tensor dout = c.random(m.e * copies.each, m.f), x = c.random(dout.rows, m.c);
  std::vector<Tensor> dw;
  for (int64_t e = 0; e < m.e; ++e) {
    dw.push_back(c.random(m.f, m.c));
    c.outputs.push_back(dw.back());
  }
  c.read = 4.0 * (copies.products() + copies.rows() * static_cast<double>(m.c + m.f));
  c.written = 4.0 * copies.products();
  c.run = [=](Ops& ops) {
    if (form == Form::kPacked) {
      return ops.matmul_experts_backward_weight(dout, x, DType::kF32, copies.first, dw);
    }
    std::vector<WeightGradient> list;
    for (int64_t e = 0; e < copies.m.e; ++e) {
      list.push_back(
          {copies.of(dout, e), copies.of(x, e), DType::kF32, dw[static_cast<size_t>(e)]});
    }
    ops.matmuls_backward_weight(list);
  };
  return c;
}

// Each row goes to K neighbours among the experts.
OpCall sort_call(OpSize size) {
  OpCall c;
  const Experts m = experts_of(size);
  c.shape = text("T", m.t) + " " + text("E", m.e) + " " + text("K", m.k);
  const std::span<int32_t> start = c.shuffled(m.t, m.e - m.k + 1);
  const std::span<int32_t> expert = c.shuffled(m.t * m.k, 1), slot = c.shuffled(m.t * m.k, 1);
  const std::span<int32_t> row = c.shuffled(m.t * m.k, 1), first = c.shuffled(m.e + 1, 1);
  for (size_t i = 0; i < expert.size(); ++i) {
    const auto k = static_cast<size_t>(m.k);
    expert[i] = start[i / k] + static_cast<int32_t>(i % k);
  }
  c.read = 4.0 * static_cast<double>(expert.size());
  c.written = 4.0 * static_cast<double>(slot.size() + row.size() + first.size());
  c.run = [=](Ops& ops) {
    ops.sort_by_expert(expert, m.k, m.e, slot.data(), row.data(), first.data());
  };
  c.exact = {slot, row, first};
  return c;
}

OpCall count_call(OpSize size) {
  OpCall c;
  const Copies copies(c, size);
  const int64_t experts = copies.m.e;
  c.shape = text("E", experts);
  c.flops = 0;
  const Tensor memory = c.zeros(1, 2 * experts);
  const std::span<int64_t> loads(reinterpret_cast<int64_t*>(memory.data),
                                 static_cast<size_t>(experts));
  c.read = 12.0 * static_cast<double>(experts);
  c.written = 8.0 * static_cast<double>(experts);
  c.reset = [=](Ops&) { std::fill(loads.begin(), loads.end(), 0); };
  c.run = [=](Ops& ops) { ops.count_copies(copies.first, loads); };
  c.exact = {{reinterpret_cast<const int32_t*>(memory.data), static_cast<size_t>(2 * experts)}};
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
      entry("matmuls", 1e-5, [](OpSize s) { return products_call(s, Form::kList); }),
      entry("matmuls_backward_weight", 1e-5,
            [](OpSize s) { return weight_gradients_call(s, Form::kList); }),
      entry("copy_heads", 0, copy_heads_call),
      entry("route", 1e-5, [](OpSize s) { return route_call(s, false); }),
      entry("route_backward", 1e-5, [](OpSize s) { return route_call(s, true); }),
      entry("sort_by_expert", 0, sort_call),
      entry("count_copies", 0, count_call),
      entry("matmul_experts", 1e-5, [](OpSize s) { return products_call(s, Form::kPacked); }),
      entry("matmul_mapped_experts", 1e-5,
            [](OpSize s) { return products_call(s, Form::kMapped); }),
      entry("matmul_experts_backward_weight", 1e-5,
            [](OpSize s) { return weight_gradients_call(s, Form::kPacked); }),
      entry("combine_rows", 1e-5, [](OpSize s) { return combine_call(s, false); }),
      entry("combine_rows_backward", 1e-5, [](OpSize s) { return combine_call(s, true); }),
  };
}

}  // namespace r1
