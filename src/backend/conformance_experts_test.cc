// Cases of routing rows to experts and of combining what they give.
#include <algorithm>

#include "backend/conformance.h"

namespace r1 {
namespace {

using Outputs = std::vector<Output>;

std::string name_of(const char* op, int64_t experts, const Routing& r) {
  return std::string(op) + (r.sigmoid ? " sigmoid" : " softmax") + " E=" + std::to_string(experts) +
         " K=" + std::to_string(r.experts) + " groups=" + std::to_string(r.groups_per_row) + "/" +
         std::to_string(r.groups) + (r.normalize ? " normalized" : "");
}

// size: of the logits; beyond a few, scores that differ in double are equal in float, and the
// choice is not the oracle's. Logits are rounded to quarters, so that many experts tie.
Case route_case(int64_t experts, const Routing& routing, bool bias, double size) {
  constexpr int64_t kT = 67;
  Case c{.name = name_of("route", experts, routing), .rows = kT, .tolerance = 1e-5, .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(17);
    Matrix logits = Matrix::random(rng, kT, experts, size);
    for (int64_t t = 0; t < kT; ++t) {
      for (int64_t e = 0; e < experts; ++e) {
        logits.at(t, e) = std::round(4 * logits.at(t, e)) / 4;
      }
    }
    std::vector<float> b = random_floats(rng, experts, 0.3);
    for (float& x : b) x = std::round(8 * x) / 8;
    const int64_t k = routing.experts;
    const std::vector<float> dweight = random_floats(rng, kT * k);
    std::vector<int32_t> expert(static_cast<size_t>(kT * k));
    std::vector<float> weight(expert.size());
    Matrix dlogits(kT, experts);
    for (const RowRange& r : chunks) {
      const int64_t at = r.begin * k;
      ops.route(logits.rows(r), bias ? b.data() : nullptr, routing, expert.data() + at,
                weight.data() + at);
      ops.route_backward(dweight.data() + at, logits.rows(r), expert.data() + at, routing,
                         dlogits.rows(r));
    }
    for (int64_t t = 0; t < kT; ++t) {  // ascending, so no expert twice
      for (int64_t j = 1; j < k; ++j) {
        EXPECT_LT(expert[static_cast<size_t>(t * k + j - 1)],
                  expert[static_cast<size_t>(t * k + j)]);
      }
    }
    return Outputs{
        {"expert", widen(expert)}, {"weight", widen(weight)}, {"dlogits", dlogits.values()}};
  };
  return c;
}

Case combine_case(int64_t t, int64_t k, int64_t width) {
  Case c{.name = "combine_rows T=" + std::to_string(t) + " K=" + std::to_string(k) +
                 " C=" + std::to_string(width),
         .rows = t,
         .tolerance = 1e-5,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(18);
    const Matrix y = Matrix::random(rng, t * k, width), dout = Matrix::random(rng, t, width);
    const std::vector<float> weight = random_floats(rng, t * k);
    Matrix out = Matrix::random(rng, t, width), written = out, dy(t * k, width);
    std::vector<float> dweight(weight.size());
    for (const RowRange& r : chunks) {
      // The chunk's copies, in an order of their own.
      std::vector<int32_t> slot;
      for (int64_t i = 0; i < r.count * k; ++i) slot.push_back(static_cast<int32_t>(i));
      Rng(19).shuffle(slot);
      const RowRange copies{r.begin * k, r.count * k};
      // Back to where a whole batch would put them: by the row and the turn.
      Matrix y_chunk(copies.count, width), dy_chunk(copies.count, width);
      for (int64_t i = 0; i < copies.count; ++i) {
        const auto to = static_cast<int64_t>(slot[static_cast<size_t>(i)]);
        std::copy_n(ConstTensor(y).row(copies.begin + i), width, Tensor(y_chunk).row(to));
      }
      const float* w = weight.data() + copies.begin;
      ops.combine_rows(y_chunk, slot, w, true, out.rows(r));
      ops.combine_rows(y_chunk, slot, w, false, written.rows(r));
      ops.combine_rows_backward(dout.rows(r), y_chunk, slot, w, dy_chunk,
                                dweight.data() + copies.begin);
      for (int64_t i = 0; i < copies.count; ++i) {
        const auto at = static_cast<int64_t>(slot[static_cast<size_t>(i)]);
        std::copy_n(ConstTensor(dy_chunk).row(at), width, Tensor(dy).row(copies.begin + i));
      }
    }
    return Outputs{{"out", out.values()},
                   {"written", written.values()},
                   {"dy", dy.values()},
                   {"dweight", widen(dweight)}};
  };
  return c;
}

struct ExpertWidths {
  int64_t n, c;  // output and input of an expert's product
};

// Each row's experts, ascending, never the first of all.
std::vector<int32_t> any_experts(Rng& rng, int64_t rows, int64_t k, int64_t experts) {
  std::vector<int32_t> all, chosen;
  for (int32_t e = 1; e < experts; ++e) all.push_back(e);
  for (int64_t t = 0; t < rows; ++t) {
    rng.shuffle(all);
    const auto begin = chosen.insert(chosen.end(), all.begin(), all.begin() + k);
    std::sort(begin, chosen.end());
  }
  return chosen;
}

// The same matrices packed, and as a file would hold them.
class ExpertWeights {
 public:
  ExpertWeights(Ops& ops, const std::vector<float>& values, int64_t experts,
                const ExpertWidths& width) {
    for (int64_t e = 0; e < experts; ++e) {
      const float* const w = values.data() + e * width.n * width.c;
      memory_.emplace_back(static_cast<size_t>(ops.packed_bytes(DType::kF32, width.n, width.c)));
      packed_.push_back({DType::kF32, width.n, width.c, memory_.back().data()});
      ops.pack({w, width.n, width.c}, packed_.back());
      rows_.push_back({DType::kF32, width.n, width.c, reinterpret_cast<const std::byte*>(w)});
    }
    for (const MappedWeight& w : rows_) parts_.emplace_back(&w, 1);
  }
  std::span<const PackedWeight> packed() const { return packed_; }
  std::span<const std::span<const MappedWeight>> mapped() const { return parts_; }

 private:
  std::vector<Buffer> memory_;
  std::vector<PackedWeight> packed_;
  std::vector<MappedWeight> rows_;
  std::vector<std::span<const MappedWeight>> parts_;
};

// Rows sorted by expert, through a product with each expert's weight and back, and the gradient of
// the weights. The first expert gets no row.
Case experts_case(int64_t experts, int64_t k, const ExpertWidths& width, bool mapped) {
  constexpr int64_t kT = 67;
  Case c{.name = std::string(mapped ? "matmul_mapped_experts" : "matmul_experts") +
                 " E=" + std::to_string(experts) + " K=" + std::to_string(k) +
                 " N=" + std::to_string(width.n) + " C=" + std::to_string(width.c),
         .rows = kT,
         .tolerance = 1e-5,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(20);
    const Matrix x = Matrix::random(rng, kT, width.c), dout = Matrix::random(rng, kT * k, width.n);
    const std::vector<float> weight = random_floats(rng, kT * k);
    const std::vector<int32_t> expert = any_experts(rng, kT, k, experts);
    const std::vector<float> values = random_floats(rng, experts * width.n * width.c);
    const ExpertWeights weights(ops, values, experts, width);
    std::vector<float> gradient(values.size());
    std::vector<Tensor> dw;
    for (int64_t e = 0; e < experts; ++e) {
      dw.emplace_back(gradient.data() + e * width.n * width.c, width.n, width.c);
    }
    std::vector<int64_t> loads(static_cast<size_t>(experts));
    Matrix out(kT, width.n);
    for (const RowRange& r : chunks) {
      const RowRange copies{r.begin * k, r.count * k};
      std::vector<int32_t> slot(static_cast<size_t>(copies.count)), row(slot.size());
      std::vector<int32_t> first(static_cast<size_t>(experts) + 1);
      ops.sort_by_expert(span_of(expert, copies), k, experts, slot.data(), row.data(),
                         first.data());
      ops.count_copies(first.data(), loads);
      Matrix x_copies(copies.count, width.c), y(copies.count, width.n), dy(copies.count, width.n);
      ops.gather_rows(x.rows(r), row, x_copies);
      if (mapped) {
        ops.matmul_mapped_experts(x_copies, weights.mapped(), first.data(), y);
      } else {
        ops.matmul_experts(x_copies, weights.packed(), first.data(), y);
      }
      ops.combine_rows(y, slot, weight.data() + copies.begin, false, out.rows(r));
      for (int64_t i = 0; i < copies.count; ++i) {
        std::copy_n(dout.rows(copies).row(i), width.n,
                    Tensor(dy).row(slot[static_cast<size_t>(i)]));
      }
      ops.matmul_experts_backward_weight(dy, x_copies, DType::kF32, first.data(), dw);
    }
    return Outputs{{"out", out.values()}, {"loads", widen(loads)}, {"dw", widen(gradient)}};
  };
  return c;
}

}  // namespace

std::vector<Case> expert_cases() {
  std::vector<Case> cases;
  const auto add = [&](int64_t experts, const Routing& r) {
    for (const double size : {0.5, 3.0}) cases.push_back(route_case(experts, r, false, size));
    cases.push_back(route_case(experts, r, true, 1));
  };
  for (const bool sigmoid : {false, true}) {
    for (const bool normalize : {false, true}) {
      // Alone and normalized its weight would be constant and the gradient rounding.
      add(1, {.sigmoid = sigmoid, .experts = 1, .scale = 2.5f});
      add(5, {.sigmoid = sigmoid, .experts = 5, .normalize = normalize});
      add(37, {.sigmoid = sigmoid, .experts = 6, .normalize = normalize, .scale = 0.5f});
      add(256, {.sigmoid = sigmoid,
                .experts = 8,
                .groups = 8,
                .groups_per_row = 4,
                .group_pairs = sigmoid,
                .normalize = normalize,
                .scale = 2.5f});
      add(12, {.sigmoid = sigmoid,
               .experts = 3,
               .groups = 4,
               .groups_per_row = 2,
               .group_pairs = sigmoid,
               .normalize = normalize});
    }
  }
  for (const auto& [k, width] : {std::pair{1, 1}, {2, 20}, {8, 129}}) {
    cases.push_back(combine_case(67, k, width));
  }
  for (const bool mapped : {false, true}) {
    cases.push_back(experts_case(9, 3, {40, 33}, mapped));
    cases.push_back(experts_case(3, 1, {7, 20}, mapped));
    cases.push_back(experts_case(70, 8, {20, 16}, mapped));
  }
  return cases;
}

}  // namespace r1
