// The gradient of attention (attention.inl): with p_j = exp(s_j - lse), delta = dout.out,
// dp_j = dout.v_j, ds_j = p_j (dp_j - delta):
//   dv_j += p_j dout      dk_j += scale ds_j q      dq += scale ds_j k_j
#pragma once

#include "backend/cpu/attention.inl"

namespace {

struct QueryGradient {
  const float *q, *dout;
  float* dq;
  int64_t limit;
  float lse, delta;
  V16 p, ds;
  float p_lanes[kPageSize], ds_lanes[kPageSize];
};

// p and ds of kTile queries against one page.
template <int kTile>
inline void score_gradients(QueryGradient* g, const Attention& a, const float* k,
                            const float* v_transposed, int64_t first_key) {
  V16 s[kTile], dp[kTile];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) s[t] = dp[t] = set1(0.0f);
  for (int64_t d = 0; d < a.key_dim; ++d) {
    const V16 key = load(k + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) s[t] = fma(set1(g[t].q[d]), key, s[t]);
  }
  for (int64_t d = 0; d < a.value_dim; ++d) {
    const V16 value = load(v_transposed + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) dp[t] = fma(set1(g[t].dout[d]), value, dp[t]);
  }
  const V16 zero = set1(0.0f);
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
    const int64_t left = g[t].limit - first_key;
    const V16 p = exp(sub(mul(s[t], set1(a.scale)), set1(g[t].lse)));
    const V16 ds = mul(mul(p, sub(dp[t], set1(g[t].delta))), set1(a.scale));
    g[t].p = keep(p, left, zero);
    g[t].ds = keep(ds, left, zero);
    store(g[t].p_lanes, g[t].p);
    store(g[t].ds_lanes, g[t].ds);
  }
}

template <int kTile>
inline void add_gradients(QueryGradient* g, const Attention& a, const float* k_rows, int64_t keys,
                          float* dk, float* dv) {
  // Where values are columns of keys, so are their gradients; query by query in one chain.
  const int64_t shared = a.v ? 0 : a.value_dim;
  for (int64_t d = 0; d < shared; ++d) {
    V16 acc = load(dk + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      acc = fma(set1(g[t].q[d]), g[t].ds, acc);
      acc = fma(set1(g[t].dout[d]), g[t].p, acc);
    }
    store(dk + d * kPageSize, acc);
  }
  for (int64_t d = shared; d < a.key_dim; ++d) {
    V16 acc = load(dk + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) acc = fma(set1(g[t].q[d]), g[t].ds, acc);
    store(dk + d * kPageSize, acc);
  }
  for (int64_t d = 0; d < a.key_dim; d += kLanes) {
    const int64_t n = lanes_left(a.key_dim - d);
    V16 dq[kTile];
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) dq[t] = load_n(g[t].dq + d, n);
    for (int64_t j = 0; j < keys; ++j) {
      const V16 key = load_n(k_rows + j * a.key_dim + d, n);
#pragma GCC unroll 4
      for (int t = 0; t < kTile; ++t) dq[t] = fma(set1(g[t].ds_lanes[j]), key, dq[t]);
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) store_n(g[t].dq + d, dq[t], n);
  }
  for (int64_t d = 0; a.v && d < a.value_dim; d += kLanes) {
    const int64_t n = lanes_left(a.value_dim - d);
    V16 dout[kTile];
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) dout[t] = load_n(g[t].dout + d, n);
    for (int64_t j = 0; j < keys; ++j) {
      V16 value = load_n(dv + j * a.value_dim + d, n);
#pragma GCC unroll 4
      for (int t = 0; t < kTile; ++t) value = fma(set1(g[t].p_lanes[j]), dout[t], value);
      store_n(dv + j * a.value_dim + d, value, n);
    }
  }
}

inline void load_query(const AttentionBackward& b, int64_t i, QueryGradient& g) {
  const Attention& a = b.forward;
  const int64_t row = i / a.heads, head = i % a.heads;
  g.q = a.q + row * a.qs + head * a.key_dim;
  g.dout = b.dout + row * b.ds + head * a.value_dim;
  g.dq = b.dq + row * b.dqs + head * a.key_dim;
  g.limit = a.position + row + 1;
  g.lse = a.lse[row * a.ls + head];
  const float* out = a.out + row * a.os + head * a.value_dim;
  V16 dot = set1(0.0f);
  for (int64_t d = 0; d < a.value_dim; d += kLanes) {
    const int64_t n = lanes_left(a.value_dim - d);
    dot = fma(load_n(g.dout + d, n), load_n(out + d, n), dot);
  }
  g.delta = sum(dot);
}

// A page as its gradients want it: keys by rows and values transposed too.
struct PageView {
  const float *k, *k_rows, *v_transposed;
  float *dk, *dv;
  int64_t first_key;
};

template <int kTile>
inline void page_gradients(const AttentionBackward& b, int64_t i, const PageView& page) {
  QueryGradient g[kTile];
  int64_t keys = 0;
  for (int t = 0; t < kTile; ++t) {
    load_query(b, i + t, g[t]);
    keys = g[t].limit - page.first_key > keys ? g[t].limit - page.first_key : keys;
  }
  if (keys > kPageSize) keys = kPageSize;
  score_gradients<kTile>(g, b.forward, page.k, page.v_transposed, page.first_key);
  add_gradients<kTile>(g, b.forward, page.k_rows, keys, page.dk, page.dv);
}

PageView open_page(const AttentionBackward& b, int64_t index) {
  const Attention& a = b.forward;
  const int64_t page = a.pages[index];
  float *k_rows = b.scratch, *k_room = k_rows + a.key_dim * kPageSize;
  float* v_transposed = k_room + a.key_dim * kPageSize;
  const float* k = key_rows(a.type, a.k + page * a.k_stride, a.key_dim, 0, a.key_dim, k_room);
  for (int64_t d = 0; d < a.key_dim; ++d) {
    for (int64_t j = 0; j < kPageSize; ++j) k_rows[j * a.key_dim + d] = k[d * kPageSize + j];
  }
  PageView view = {k, k_rows, k, b.dk + page * b.dk_stride, nullptr, index * kPageSize};
  if (a.v == nullptr) return view;
  float room[kColumns * kPageSize];
  const int64_t stride = a.type == KvType::kF32 ? a.value_dim : kColumns;
  for (int64_t begin = 0; begin < a.value_dim; begin += kColumns) {
    const int64_t left = a.value_dim - begin, count = left < kColumns ? left : kColumns;
    const float* v = value_rows(a.type, a.v + page * a.v_stride, a.value_dim, begin, count, room);
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t j = 0; j < kPageSize; ++j) {
        v_transposed[(begin + c) * kPageSize + j] = v[j * stride + c];
      }
    }
  }
  view.v_transposed = v_transposed;
  view.dv = b.dv + page * b.dv_stride;
  return view;
}

// One sequence and KV head, all its rows: pages outermost, so that a page's gradients stay near.
void attention_backward(const AttentionBackward& b, int64_t rows) {
  const Attention& a = b.forward;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < a.heads * a.key_dim; ++c) b.dq[row * b.dqs + c] = 0.0f;
  }
  const int64_t pages = div_up(a.position + rows, kPageSize);
  for (int64_t index = 0; index < pages; ++index) {
    const PageView page = open_page(b, index);
    // The first row that sees this page's first key.
    const int64_t first = page.first_key - a.position;
    int64_t i = (first > 0 ? first : 0) * a.heads;
    const int64_t total = rows * a.heads;
    for (; i + 4 <= total; i += 4) page_gradients<4>(b, i, page);
    for (; i < total; ++i) page_gradients<1>(b, i, page);
  }
}

}  // namespace
