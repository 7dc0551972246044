// Cases of routing rows to experts and of combining what they give.
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
  return cases;
}

}  // namespace r1
