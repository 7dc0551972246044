// Causal attention over pages of keys and values, and its gradient.
//
// Forward, for a query q with keys [0, limit):  online softmax (Milakov and Gimelshein, 2018) over
// blocks of kBlockPages pages:
//   s_j = scale q.k_j      m' = max(m, max_j s_j)      p_j = exp(s_j - m')
//   l = l exp(m - m') + sum_j p_j      o = o exp(m - m') + sum_j p_j v_j
// Queries that read the same KV head (the heads of a group, neighbouring rows) are taken kTile at a
// time so that a key is loaded once for all of them. A key beyond a query's limit has p = 0, which
// leaves its sums as they are: a query's bits do not depend on its neighbours.
//
// Backward, with p_j = exp(s_j - lse), delta = dout.out, dp_j = dout.v_j, ds_j = p_j (dp_j -
// delta):
//   dv_j += p_j dout      dk_j += scale ds_j q      dq += scale ds_j k_j

namespace {

constexpr int kBlockKeys = kBlockPages * kPageSize;

struct Query {
  const float* q;
  float* out;
  int64_t limit;  // keys it sees
  float max;
  V16 sum;
  float p[kBlockKeys];
};

// s = q.k for kTile queries over kPages pages at once, into each query's p.
template <int kTile, int kPages>
inline void score_pages(Query* queries, const float* const* keys, int64_t dim, float* const* out) {
  V16 acc[kTile][kPages];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int p = 0; p < kPages; ++p) acc[t][p] = set1(0.0f);
  }
  for (int64_t d = 0; d < dim; ++d) {
    V16 k[kPages];
#pragma GCC unroll 4
    for (int p = 0; p < kPages; ++p) k[p] = load(keys[p] + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      const V16 q = set1(queries[t].q[d]);
#pragma GCC unroll 4
      for (int p = 0; p < kPages; ++p) acc[t][p] = fma(q, k[p], acc[t][p]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int p = 0; p < kPages; ++p) store(out[t] + p * kPageSize, acc[t][p]);
  }
}

// Turns a block's scores into p, and rescales what came before.
inline void softmax_block(Query& query, int64_t first_key, int pages, float scale, int64_t dim) {
  const V16 lowest = set1(-__builtin_inff());
  V16 s[kBlockPages], top = lowest;
  for (int p = 0; p < pages; ++p) {
    const int64_t left = query.limit - first_key - p * kPageSize;
    s[p] = keep(mul(load(query.p + p * kPageSize), set1(scale)), left, lowest);
    top = max(top, s[p]);
  }
  const float block_max = max_lane(top);
  const float m = query.max > block_max ? query.max : block_max;
  if (query.max != m) {
    const V16 shrink = exp(sub(set1(query.max), set1(m)));
    query.sum = mul(query.sum, shrink);
    for (int64_t d = 0; d < dim; d += kLanes) {
      const int64_t n = dim - d < kLanes ? dim - d : kLanes;
      store_n(query.out + d, mul(load_n(query.out + d, n), shrink), n);
    }
    query.max = m;
  }
  for (int p = 0; p < pages; ++p) {
    const V16 e = exp(sub(s[p], set1(m)));
    query.sum = add(query.sum, e);
    store(query.p + p * kPageSize, e);
  }
}

// out += sum_j p_j v_j over a block's keys [0, count), kWide x 16 columns at a time.
template <int kTile, int kWide>
inline void add_values(Query* queries, const float* const* values, int64_t count, int64_t dim,
                       int64_t column) {
  V16 acc[kTile][kWide];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) acc[t][w] = load(queries[t].out + column + w * kLanes);
  }
  for (int64_t j = 0; j < count; ++j) {
    const float* v = values[j / kPageSize] + j % kPageSize * dim + column;
    V16 b[kWide];
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) b[w] = load(v + w * kLanes);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      const V16 p = set1(queries[t].p[j]);
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) acc[t][w] = fma(p, b[w], acc[t][w]);
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) store(queries[t].out + column + w * kLanes, acc[t][w]);
  }
}

// The same for the last columns of a head whose width is no multiple of 16.
template <int kTile>
inline void add_values_tail(Query* queries, const float* const* values, int64_t count, int64_t dim,
                            int64_t column) {
  const int64_t n = dim - column;
  for (int t = 0; t < kTile; ++t) {
    V16 acc = load_n(queries[t].out + column, n);
    for (int64_t j = 0; j < count; ++j) {
      const float* v = values[j / kPageSize] + j % kPageSize * dim + column;
      acc = fma(set1(queries[t].p[j]), load_n(v, n), acc);
    }
    store_n(queries[t].out + column, acc, n);
  }
}

// kTile queries, all blocks of keys. kSide is how many pages or column groups run side by side.
template <int kTile, int kSide>
void attend(const Attention& a, Query* queries) {
  int64_t limit = 0;
  for (int t = 0; t < kTile; ++t) {
    limit = queries[t].limit > limit ? queries[t].limit : limit;
    queries[t].max = -__builtin_inff();
    queries[t].sum = set1(0.0f);
    for (int64_t d = 0; d < a.dim; ++d) queries[t].out[d] = 0.0f;
  }
  for (int64_t first = 0; first < limit; first += kBlockKeys) {
    const int64_t count = limit - first < kBlockKeys ? limit - first : kBlockKeys;
    const int pages = static_cast<int>(div_up(count, kPageSize));
    const float *keys[kBlockPages], *values[kBlockPages];
    for (int p = 0; p < pages; ++p) {
      const int64_t page = a.pages[first / kPageSize + p];
      keys[p] = a.k + page * a.page_stride;
      values[p] = a.v + page * a.page_stride;
    }
    int page = 0;
    float* out[kTile];
    for (; page + kSide <= pages; page += kSide) {
      for (int t = 0; t < kTile; ++t) out[t] = queries[t].p + page * kPageSize;
      score_pages<kTile, kSide>(queries, keys + page, a.dim, out);
    }
    for (; page < pages; ++page) {
      for (int t = 0; t < kTile; ++t) out[t] = queries[t].p + page * kPageSize;
      score_pages<kTile, 1>(queries, keys + page, a.dim, out);
    }
    for (int t = 0; t < kTile; ++t) softmax_block(queries[t], first, pages, a.scale, a.dim);
    int64_t column = 0;
    for (; column + kSide * kLanes <= a.dim; column += kSide * kLanes) {
      add_values<kTile, kSide>(queries, values, count, a.dim, column);
    }
    for (; column + kLanes <= a.dim; column += kLanes) {
      add_values<kTile, 1>(queries, values, count, a.dim, column);
    }
    if (column < a.dim) add_values_tail<kTile>(queries, values, count, a.dim, column);
  }
}

void attention(const Attention& a, int64_t row_begin, int64_t row_end) {
  Query queries[4];
  const int64_t total = (row_end - row_begin) * a.heads;
  for (int64_t i = 0; i < total;) {
    const int tile = total - i >= 4 ? 4 : total - i >= 2 ? 2 : 1;
    for (int t = 0; t < tile; ++t) {
      const int64_t row = row_begin + (i + t) / a.heads, head = (i + t) % a.heads;
      queries[t].q = a.q + row * a.qs + head * a.dim;
      queries[t].out = a.out + row * a.os + head * a.dim;
      queries[t].limit = a.position + row + 1;
    }
    if (tile == 4) {
      attend<4, 1>(a, queries);
    } else if (tile == 2) {
      attend<2, 2>(a, queries);
    } else {
      attend<1, 4>(a, queries);
    }
    for (int t = 0; t < tile; ++t) {
      const float total_p = sum(queries[t].sum);
      const V16 inverse = set1(1.0f / total_p);
      for (int64_t d = 0; d < a.dim; d += kLanes) {
        const int64_t n = a.dim - d < kLanes ? a.dim - d : kLanes;
        store_n(queries[t].out + d, mul(load_n(queries[t].out + d, n), inverse), n);
      }
      if (a.lse) {
        const int64_t row = row_begin + (i + t) / a.heads, head = (i + t) % a.heads;
        a.lse[row * a.ls + head] = queries[t].max + log(total_p);
      }
    }
    i += tile;
  }
}

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
inline void score_gradients(QueryGradient* g, const float* k, const float* v_transposed,
                            int64_t dim, float scale, int64_t first_key) {
  V16 s[kTile], dp[kTile];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) s[t] = dp[t] = set1(0.0f);
  for (int64_t d = 0; d < dim; ++d) {
    const V16 key = load(k + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) s[t] = fma(set1(g[t].q[d]), key, s[t]);
  }
  for (int64_t d = 0; d < dim; ++d) {
    const V16 value = load(v_transposed + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) dp[t] = fma(set1(g[t].dout[d]), value, dp[t]);
  }
  const V16 zero = set1(0.0f);
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
    const int64_t left = g[t].limit - first_key;
    const V16 p = exp(sub(mul(s[t], set1(scale)), set1(g[t].lse)));
    const V16 ds = mul(mul(p, sub(dp[t], set1(g[t].delta))), set1(scale));
    g[t].p = keep(p, left, zero);
    g[t].ds = keep(ds, left, zero);
    store(g[t].p_lanes, g[t].p);
    store(g[t].ds_lanes, g[t].ds);
  }
}

template <int kTile>
inline void add_gradients(QueryGradient* g, const float* k_rows, int64_t dim, int64_t keys,
                          float* dk, float* dv) {
  for (int64_t d = 0; d < dim; ++d) {
    V16 acc = load(dk + d * kPageSize);
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) acc = fma(set1(g[t].q[d]), g[t].ds, acc);
    store(dk + d * kPageSize, acc);
  }
  for (int64_t d = 0; d < dim; d += kLanes) {
    const int64_t n = dim - d < kLanes ? dim - d : kLanes;
    V16 dout[kTile], dq[kTile];
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      dout[t] = load_n(g[t].dout + d, n);
      dq[t] = load_n(g[t].dq + d, n);
    }
    for (int64_t j = 0; j < keys; ++j) {
      V16 value = load_n(dv + j * dim + d, n);
      const V16 key = load_n(k_rows + j * dim + d, n);
#pragma GCC unroll 4
      for (int t = 0; t < kTile; ++t) {
        value = fma(set1(g[t].p_lanes[j]), dout[t], value);
        dq[t] = fma(set1(g[t].ds_lanes[j]), key, dq[t]);
      }
      store_n(dv + j * dim + d, value, n);
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) store_n(g[t].dq + d, dq[t], n);
  }
}

inline void load_query(const AttentionBackward& b, int64_t i, QueryGradient& g) {
  const Attention& a = b.forward;
  const int64_t row = i / a.heads, head = i % a.heads;
  g.q = a.q + row * a.qs + head * a.dim;
  g.dout = b.dout + row * b.ds + head * a.dim;
  g.dq = b.dq + row * b.dqs + head * a.dim;
  g.limit = a.position + row + 1;
  g.lse = a.lse[row * a.ls + head];
  const float* out = a.out + row * a.os + head * a.dim;
  V16 dot = set1(0.0f);
  for (int64_t d = 0; d < a.dim; d += kLanes) {
    const int64_t n = a.dim - d < kLanes ? a.dim - d : kLanes;
    dot = fma(load_n(g.dout + d, n), load_n(out + d, n), dot);
  }
  g.delta = sum(dot);
}

template <int kTile>
inline void page_gradients(const AttentionBackward& b, int64_t i, int64_t page_index,
                           const float* k_rows, const float* v_transposed) {
  const Attention& a = b.forward;
  const int64_t page = a.pages[page_index] * a.page_stride, first_key = page_index * kPageSize;
  QueryGradient g[kTile];
  int64_t keys = 0;
  for (int t = 0; t < kTile; ++t) {
    load_query(b, i + t, g[t]);
    keys = g[t].limit - first_key > keys ? g[t].limit - first_key : keys;
  }
  if (keys > kPageSize) keys = kPageSize;
  score_gradients<kTile>(g, a.k + page, v_transposed, a.dim, a.scale, first_key);
  add_gradients<kTile>(g, k_rows, a.dim, keys, b.dk + page, b.dv + page);
}

// One sequence and KV head, all its rows: pages outermost, so that a page's gradients stay near.
void attention_backward(const AttentionBackward& b, int64_t rows) {
  const Attention& a = b.forward;
  float *k_rows = b.scratch, *v_transposed = b.scratch + a.dim * kPageSize;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < a.heads * a.dim; ++c) b.dq[row * b.dqs + c] = 0.0f;
  }
  const int64_t pages = div_up(a.position + rows, kPageSize);
  for (int64_t page = 0; page < pages; ++page) {
    const float* k = a.k + a.pages[page] * a.page_stride;
    const float* v = a.v + a.pages[page] * a.page_stride;
    for (int64_t d = 0; d < a.dim; ++d) {
      for (int64_t j = 0; j < kPageSize; ++j) {
        k_rows[j * a.dim + d] = k[d * kPageSize + j];
        v_transposed[d * kPageSize + j] = v[j * a.dim + d];
      }
    }
    // The first row that sees this page's first key.
    const int64_t first = page * kPageSize - a.position;
    int64_t i = (first > 0 ? first : 0) * a.heads;
    const int64_t total = rows * a.heads;
    for (; i + 4 <= total; i += 4) page_gradients<4>(b, i, page, k_rows, v_transposed);
    for (; i < total; ++i) page_gradients<1>(b, i, page, k_rows, v_transposed);
  }
}

}  // namespace
