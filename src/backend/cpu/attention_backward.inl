// The gradient of attention (attention.inl): with p_j = exp(s_j - lse), delta = dout.out,
// dp_j = dout.v_j, ds_j = p_j (dp_j - delta):
//   dv_j += p_j dout      dk_j += scale ds_j q      dq += scale ds_j k_j
#pragma once

#include "backend/cpu/attention.inl"

namespace {

// Queries that meet pages together, and how many pages, or column groups, side by side.
constexpr bool kManyRegisters = kTileRows * kTilePanels >= 16;
constexpr int kGradientTile = kManyRegisters ? 8 : 4, kGradientSide = kManyRegisters ? 2 : 1;
static_assert(kGradientSide <= kBackwardPages);

struct QueryGradient {
  const float *q, *dout;
  float* dq;
  int64_t limit;
  float lse, delta;
  V16 p[kGradientSide], ds[kGradientSide];
  float ds_lanes[kGradientSide * kPageSize];
};

// A page as its gradients want it: keys by rows too, values and their gradients by columns.
struct PageView {
  const float *k, *k_rows, *v;
  float *dk, *dv;
  int64_t first_key;
};

// s[t][p] += x_t.y_p over elements [0, dim): x_t(t) are queries' rows, y_p(p) pages of columns.
template <int kTile, int kPages, class Rows, class Columns>
inline void dot_pages(int64_t dim, const Rows& x, const Columns& y, V16 (&s)[kTile][kPages]) {
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) s[t][p] = set1(0.0f);
  }
  const float *rows[kTile], *columns[kPages];
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) rows[t] = x(t);
#pragma GCC unroll 2
  for (int p = 0; p < kPages; ++p) columns[p] = y(p);
#pragma GCC unroll 2
  for (int64_t d = 0; d < dim; ++d) {
    V16 column[kPages];
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) column[p] = load(columns[p] + d * kPageSize);
#pragma GCC unroll 8
    for (int t = 0; t < kTile; ++t) {
      const V16 row = set1(rows[t][d]);
#pragma GCC unroll 2
      for (int p = 0; p < kPages; ++p) s[t][p] = fma(row, column[p], s[t][p]);
    }
  }
}

// p and ds of kTile queries against some pages.
template <int kTile, int kPages>
[[gnu::noinline]] void score_gradients(QueryGradient* g, const Attention& a,
                                       const PageView* pages) {
  V16 s[kTile][kPages], dp[kTile][kPages];
  dot_pages(
      a.key_dim, [&](int t) { return g[t].q; }, [&](int p) { return pages[p].k; }, s);
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) {
      g[t].p[p] = exp(sub(mul(s[t][p], set1(a.scale)), set1(g[t].lse)));
    }
  }
  dot_pages(
      a.value_dim, [&](int t) { return g[t].dout; }, [&](int p) { return pages[p].v; }, dp);
  const V16 zero = set1(0.0f);
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) {
      const int64_t left = g[t].limit - pages[p].first_key;
      const V16 ds = mul(mul(g[t].p[p], sub(dp[t][p], set1(g[t].delta))), set1(a.scale));
      g[t].p[p] = keep(g[t].p[p], left, zero);
      g[t].ds[p] = keep(ds, left, zero);
      store(g[t].ds_lanes + p * kPageSize, g[t].ds[p]);
    }
  }
}

// to += sum_t weights[t] rows[t], element by element: each a chain over the queries.
template <int kTile, int kPages>
[[gnu::noinline]] void add_outer(const float* const (&rows)[kTile],
                                 const V16 (&weights)[kTile][kPages], float* const (&to)[kPages],
                                 int64_t begin, int64_t end) {
  V16 w[kTile][kPages];
  const float* x[kTile];
  float* out[kPages];
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) {
    x[t] = rows[t];
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) w[t][p] = weights[t][p];
  }
#pragma GCC unroll 2
  for (int p = 0; p < kPages; ++p) out[p] = to[p];
  for (int64_t d = begin; d < end; ++d) {
    V16 acc[kPages];
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) acc[p] = load(out[p] + d * kPageSize);
#pragma GCC unroll 8
    for (int t = 0; t < kTile; ++t) {
      const V16 element = set1(x[t][d]);
#pragma GCC unroll 2
      for (int p = 0; p < kPages; ++p) acc[p] = fma(element, w[t][p], acc[p]);
    }
#pragma GCC unroll 2
    for (int p = 0; p < kPages; ++p) store(out[p] + d * kPageSize, acc[p]);
  }
}

// dk += ds q and dv += p dout.
template <int kTile, int kPages>
void add_page_gradients(const QueryGradient* g, const Attention& a, const PageView* pages) {
  const float *q[kTile], *dout[kTile];
  V16 p[kTile][kPages], ds[kTile][kPages];
  float *dk[kPages], *dv[kPages];
  for (int t = 0; t < kTile; ++t) {
    q[t] = g[t].q;
    dout[t] = g[t].dout;
    for (int i = 0; i < kPages; ++i) {
      p[t][i] = g[t].p[i];
      ds[t][i] = g[t].ds[i];
    }
  }
  for (int i = 0; i < kPages; ++i) {
    dk[i] = pages[i].dk;
    dv[i] = pages[i].dv;
  }
  if (a.v) {
    add_outer(dout, p, dv, 0, a.value_dim);
    return add_outer(q, ds, dk, 0, a.key_dim);
  }
  // Where values are columns of keys, so are their gradients; query by query in one chain.
  for (int i = 0; i < kPages; ++i) {
    for (int64_t d = 0; d < a.value_dim; ++d) {
      V16 acc = load(dk[i] + d * kPageSize);
      for (int t = 0; t < kTile; ++t) {
        acc = fma(set1(q[t][d]), ds[t][i], acc);
        acc = fma(set1(dout[t][d]), p[t][i], acc);
      }
      store(dk[i] + d * kPageSize, acc);
    }
  }
  add_outer(q, ds, dk, a.value_dim, a.key_dim);
}

// dq += ds k for kWide x 16 columns from d on, or n, key by key.
template <int kTile, int kWide, class N>
[[gnu::noinline]] void add_query_gradients(const QueryGradient* g, const float* const* k_rows,
                                           int64_t dim, int64_t keys, int64_t d, N n) {
  V16 dq[kTile][kWide];
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 2
    for (int w = 0; w < kWide; ++w) dq[t][w] = load_n(g[t].dq + d + w * kLanes, n);
  }
  const float* ds[kTile];
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) ds[t] = g[t].ds_lanes;
  for (int64_t j = 0; j < keys; ++j) {
    const float* const row = k_rows[j / kPageSize] + j % kPageSize * dim + d;
    V16 key[kWide];
#pragma GCC unroll 2
    for (int w = 0; w < kWide; ++w) key[w] = load_n(row + w * kLanes, n);
#pragma GCC unroll 8
    for (int t = 0; t < kTile; ++t) {
      const V16 x = set1(ds[t][j]);
#pragma GCC unroll 2
      for (int w = 0; w < kWide; ++w) dq[t][w] = fma(x, key[w], dq[t][w]);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 2
    for (int w = 0; w < kWide; ++w) store_n(g[t].dq + d + w * kLanes, dq[t][w], n);
  }
}

// dout.out of query i.
inline float query_delta(const AttentionBackward& b, int64_t i) {
  const Attention& a = b.forward;
  const int64_t row = i / a.heads, head = i % a.heads;
  const float* out = a.out + row * a.os + head * a.value_dim;
  const float* dout = b.dout + row * b.ds + head * a.value_dim;
  V16 dot = set1(0.0f);
  for_each_vector(a.value_dim, [&](int64_t d, auto n) {
    dot = fma(load_n(dout + d, n), load_n(out + d, n), dot);
  });
  return sum(dot);
}

inline void load_query(const AttentionBackward& b, int64_t i, QueryGradient& g) {
  const Attention& a = b.forward;
  const int64_t row = i / a.heads, head = i % a.heads;
  g.q = a.q + row * a.qs + head * a.key_dim;
  g.dout = b.dout + row * b.ds + head * a.value_dim;
  g.dq = b.dq + row * b.dqs + head * a.key_dim;
  g.limit = a.position + row + 1;
  g.lse = a.lse[row * a.ls + head];
  g.delta = b.delta[i];
}

// kTile queries from the i-th on meet some pages that follow each other.
template <int kTile, int kPages>
void page_gradients(const AttentionBackward& b, int64_t i, const PageView* pages) {
  const Attention& a = b.forward;
  QueryGradient g[kTile];
  int64_t limit = 0;
  for (int t = 0; t < kTile; ++t) {
    load_query(b, i + t, g[t]);
    limit = g[t].limit > limit ? g[t].limit : limit;
  }
  if constexpr (kPages > 1) {
    if (limit <= pages[1].first_key) return page_gradients<kTile, 1>(b, i, pages);
  }
  int64_t keys = limit - pages[0].first_key;
  if (keys > kPages * kPageSize) keys = kPages * kPageSize;
  score_gradients<kTile, kPages>(g, a, pages);
  add_page_gradients<kTile, kPages>(g, a, pages);
  const float* k_rows[kPages];
  for (int p = 0; p < kPages; ++p) k_rows[p] = pages[p].k_rows;
  int64_t d = 0;
  for (; d + kGradientSide * kLanes <= a.key_dim; d += kGradientSide * kLanes) {
    add_query_gradients<kTile, kGradientSide>(g, k_rows, a.key_dim, keys, d, Whole{});
  }
  for_each_vector(a.key_dim - d, [&](int64_t column, auto n) {
    add_query_gradients<kTile, 1>(g, k_rows, a.key_dim, keys, d + column, n);
  });
}

// All tiles of the queries [i, total).
template <int kPages, int kTile = kGradientTile>
void tile_gradients(const AttentionBackward& b, int64_t i, int64_t total, const PageView* pages) {
  for (; i + kTile <= total; i += kTile) page_gradients<kTile, kPages>(b, i, pages);
  if constexpr (kTile > 1) tile_gradients<kPages, kTile / 2>(b, i, total, pages);
}

// Page `index` of a sequence; page_scratch floats of room.
PageView open_page(const AttentionBackward& b, int64_t index, float* scratch) {
  const Attention& a = b.forward;
  const int64_t page = a.pages[index];
  float *const k_rows = scratch, *const k_room = k_rows + a.key_dim * kPageSize;
  float *const v = k_room + a.key_dim * kPageSize, *const dv = v + a.value_dim * kPageSize;
  const float* k = key_rows(a.type, a.k + page * a.k_stride, a.key_dim, 0, a.key_dim, k_room);
  page_to_rows(k, a.key_dim, a.key_dim, k_rows);
  PageView view = {k, k_rows, k, b.dk + page * b.dk_stride, nullptr, index * kPageSize};
  if (a.v == nullptr) return view;
  float room[kColumns * kPageSize];
  const int64_t stride = a.type == KvType::kF32 ? a.value_dim : kColumns;
  for (int64_t begin = 0; begin < a.value_dim; begin += kColumns) {
    const int64_t left = a.value_dim - begin, count = left < kColumns ? left : kColumns;
    page_to_columns(value_rows(a.type, a.v + page * a.v_stride, a.value_dim, begin, count, room),
                    count, stride, v + begin * kPageSize);
  }
  page_to_columns(b.dv + page * b.dv_stride, a.value_dim, a.value_dim, dv);
  view.v = v;
  view.dv = dv;
  return view;
}

// Leaves the gradients of a page's values where they belong.
void close_page(const AttentionBackward& b, int64_t index, const PageView& view) {
  const Attention& a = b.forward;
  if (a.v) page_to_rows(view.dv, a.value_dim, a.value_dim, b.dv + a.pages[index] * b.dv_stride);
}

// One sequence and KV head, all its rows: pages outermost, so that a page's gradients stay near.
void attention_backward(const AttentionBackward& b, int64_t rows) {
  const Attention& a = b.forward;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < a.heads * a.key_dim; ++c) b.dq[row * b.dqs + c] = 0.0f;
  }
  const int64_t pages = div_up(a.position + rows, kPageSize);
  const int64_t total = rows * a.heads;
  for (int64_t i = 0; i < total; ++i) b.delta[i] = query_delta(b, i);
  for (int64_t index = 0; index < pages; index += kGradientSide) {
    const bool side_by_side = index + kGradientSide <= pages;
    const int open = side_by_side ? kGradientSide : 1;
    PageView views[kGradientSide];
    for (int p = 0; p < open; ++p) {
      views[p] = open_page(b, index + p, b.scratch + p * page_scratch(a.key_dim, a.value_dim));
    }
    // The first row that sees the first key.
    const int64_t first = views[0].first_key - a.position;
    const int64_t begin = (first > 0 ? first : 0) * a.heads;
    if (side_by_side) {
      tile_gradients<kGradientSide>(b, begin, total, views);
    } else {
      tile_gradients<1>(b, begin, total, views);
    }
    for (int p = 0; p < open; ++p) close_page(b, index + p, views[p]);
  }
}

}  // namespace
