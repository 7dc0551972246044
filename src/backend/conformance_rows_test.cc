// Cases of the ops on rows: tables, norms, rotations, the feed-forward's gate.
#include "backend/conformance.h"

namespace r1 {
namespace {

using Outputs = std::vector<Output>;

std::string with(const std::string& op, std::initializer_list<std::pair<const char*, int64_t>> of) {
  std::string name = op;
  for (const auto& [what, size] : of) name += std::string(" ") + what + "=" + std::to_string(size);
  return name;
}

std::vector<int32_t> random_ids(Rng& rng, int64_t count, int64_t below) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.between(0, below - 1));
  return ids;
}

// embed and gather_rows with their backwards; ids repeat when there are fewer rows than ids.
Case table_case(int64_t t, int64_t v, int64_t width) {
  Case c{.name = with("embed, gather_rows", {{"T", t}, {"V", v}, {"C", width}}),
         .rows = t,
         .tolerance = 1e-6,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(4);
    const Matrix table = Matrix::random(rng, v, width), dout = Matrix::random(rng, t, width);
    const std::vector<int32_t> ids = random_ids(rng, t, v);
    Matrix embedded(t, width), gathered(t, width);
    Matrix dtable = Matrix::random(rng, v, width), dx = dtable;
    for (const RowRange& r : chunks) {
      ops.embed(span_of(ids, r), table, embedded.rows(r));
      ops.gather_rows(table, span_of(ids, r), gathered.rows(r));
      ops.embed_backward(span_of(ids, r), dout.rows(r), dtable);
      ops.gather_rows_backward(dout.rows(r), span_of(ids, r), dx);
    }
    return Outputs{{"embed", embedded.values()},
                   {"gather_rows", gathered.values()},
                   {"dtable", dtable.values()},
                   {"dx", dx.values()}};
  };
  return c;
}

Case add_case(int64_t t, int64_t width) {
  Case c{.name = with("add, scale", {{"T", t}, {"C", width}}),
         .rows = t,
         .tolerance = 1e-6,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(5);
    Matrix x = Matrix::random(rng, t, width), doubled = x;
    const Matrix y = Matrix::random(rng, t, width);
    for (const RowRange& r : chunks) {
      ops.add(x.rows(r), y.rows(r));
      ops.scale(x.rows(r), 0.37f);
      ops.add(doubled.rows(r), doubled.rows(r));
    }
    return Outputs{{"x", x.values()}, {"doubled", doubled.values()}};
  };
  return c;
}

Case rms_norm_case(int64_t t, int64_t groups, int64_t width, double size) {
  Case c{.name = with("rms_norm", {{"T", t}, {"groups", groups}, {"width", width}}),
         .rows = t,
         .tolerance = 1e-5,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(6);
    const int64_t cols = groups * width;
    const Matrix x = Matrix::random(rng, t, cols, size), dout = Matrix::random(rng, t, cols);
    const std::vector<float> w = random_floats(rng, width);
    Matrix out(t, cols), in_place = x, dx(t, cols), added = Matrix::random(rng, t, cols);
    Matrix dx_in_place = dout;
    std::vector<float> rstd(static_cast<size_t>(t * groups)), rstd_in_place = rstd;
    std::vector<float> dw = random_floats(rng, width), dw_added = dw, dw_in_place = dw;
    for (const RowRange& r : chunks) {
      float* const saved = rstd.data() + r.begin * groups;
      ops.rms_norm(x.rows(r), w, groups, 1e-5f, out.rows(r), saved);
      ops.rms_norm(in_place.rows(r), w, groups, 1e-5f, in_place.rows(r),
                   rstd_in_place.data() + r.begin * groups);
      ops.rms_norm_backward(dout.rows(r), x.rows(r), w, groups, saved, false, dx.rows(r),
                            dw.data());
      ops.rms_norm_backward(dout.rows(r), x.rows(r), w, groups, saved, true, added.rows(r),
                            dw_added.data());
      ops.rms_norm_backward(dx_in_place.rows(r), x.rows(r), w, groups, saved, false,
                            dx_in_place.rows(r), dw_in_place.data());
    }
    EXPECT_EQ(in_place.values(), out.values());
    EXPECT_EQ(dx_in_place.values(), dx.values());
    EXPECT_EQ(dw_in_place, dw);
    return Outputs{{"out", out.values()},
                   {"rstd", widen(rstd)},
                   {"dx", dx.values()},
                   {"dw", widen(dw)},
                   {"added", added.values()}};
  };
  return c;
}

// The rotated heads are a slice of wider rows, as q and k are of qkv; of each the last `dim`
// elements turn.
Case rope_case(int64_t t, int64_t heads, int64_t head_dim, int64_t dim, bool interleaved) {
  Case c{.name = with(interleaved ? "rope interleaved" : "rope",
                      {{"T", t}, {"heads", heads}, {"head_dim", head_dim}, {"D", dim}}),
         .rows = t,
         .tolerance = 1e-6,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(7);
    constexpr int64_t kPositions = 100;
    Matrix table(kPositions, dim);
    for (int64_t p = 0; p < kPositions; ++p) {
      for (int64_t i = 0; i < dim / 2; ++i) {
        const double angle = static_cast<double>(p) * std::pow(1e4, -2.0 * static_cast<double>(i) /
                                                                        static_cast<double>(dim));
        table.at(p, i) = static_cast<float>(std::cos(angle));
        table.at(p, dim / 2 + i) = static_cast<float>(std::sin(angle));
      }
    }
    const std::vector<int32_t> positions = random_ids(rng, t, kPositions);
    const int64_t cols = heads * head_dim;
    Matrix x = Matrix::random(rng, t, cols + 10), dx = x;
    for (const RowRange& r : chunks) {
      ops.rope(x.rows(r).slice_cols(5, cols), head_dim, interleaved, span_of(positions, r), table);
      ops.rope_backward(dx.rows(r).slice_cols(5, cols), head_dim, interleaved,
                        span_of(positions, r), table);
    }
    return Outputs{{"x", x.values()}, {"dx", dx.values()}};
  };
  return c;
}

// Heads into heads further apart, one into all, and all summed into one.
Case copy_heads_case(int64_t t, int64_t heads, int64_t width) {
  Case c{.name = with("copy_heads", {{"T", t}, {"heads", heads}, {"width", width}}),
         .rows = t,
         .tolerance = 1e-6,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(9);
    const int64_t near = width + 2, far = width + 7;
    const Matrix x = Matrix::random(rng, t, heads * near);
    Matrix moved = Matrix::random(rng, t, heads * far), spread = moved, summed = moved;
    for (const RowRange& r : chunks) {
      ops.copy_heads(x.rows(r), near, moved.rows(r), far, heads, width, false);
      ops.copy_heads(x.rows(r), 0, spread.rows(r), far, heads, width, false);
      ops.copy_heads(x.rows(r), near, summed.rows(r), 0, heads, width, true);
    }
    return Outputs{
        {"moved", moved.values()}, {"spread", spread.values()}, {"summed", summed.values()}};
  };
  return c;
}

// size 60 reaches gates where the sigmoid is 0 or 1 to the last bit.
Case swiglu_case(int64_t t, int64_t width, double size) {
  Case c{.name = with("swiglu", {{"T", t}, {"F", width}}), .rows = t, .tolerance = 1e-5, .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(8);
    const Matrix gate_up = Matrix::random(rng, t, 2 * width, size);
    const Matrix dout = Matrix::random(rng, t, width);
    Matrix out(t, width), dgate_up(t, 2 * width);
    for (const RowRange& r : chunks) {
      ops.swiglu(gate_up.rows(r), out.rows(r));
      ops.swiglu_backward(dout.rows(r), gate_up.rows(r), dgate_up.rows(r));
    }
    return Outputs{{"out", out.values()}, {"dgate_up", dgate_up.values()}};
  };
  return c;
}

}  // namespace

std::vector<Case> row_cases() {
  std::vector<Case> cases = {table_case(1, 1, 1), table_case(67, 20, 33), table_case(40, 500, 128),
                             add_case(1, 1),      add_case(67, 37),       add_case(3, 30000)};
  for (const int64_t width : {1, 20, 64, 100, 129, 5000}) {
    cases.push_back(rms_norm_case(width < 1000 ? 67 : 9, 1, width, 1));
  }
  cases.push_back(rms_norm_case(67, 3, 20, 1));
  cases.push_back(rms_norm_case(21, 7, 128, 1));
  cases.push_back(rms_norm_case(5, 2, 33, 1e-4));  // eps matters
  cases.push_back(rms_norm_case(5, 2, 33, 1e6));
  for (const auto& [heads, dim] : {std::pair{1, 2}, {3, 20}, {1, 32}, {2, 64}, {5, 128}}) {
    cases.push_back(rope_case(67, heads, dim, dim, false));
    cases.push_back(rope_case(67, heads, dim + 11, dim, true));
  }
  cases.push_back(rope_case(21, 3, 50, 32, false));
  for (const auto& [heads, width] : {std::pair{1, 1}, {3, 20}, {16, 33}}) {
    cases.push_back(copy_heads_case(67, heads, width));
  }
  for (const int64_t width : {1, 17, 100, 3000}) {
    cases.push_back(swiglu_case(width < 1000 ? 67 : 9, width, 1));
  }
  cases.push_back(swiglu_case(10, 100, 60));
  return cases;
}

}  // namespace r1
