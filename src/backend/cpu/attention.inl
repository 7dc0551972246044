// Causal attention over pages of keys and values. Its gradient is in attention_backward.inl.
//
// Forward, for a query q with keys [0, limit):  online softmax (Milakov and Gimelshein, 2018) over
// blocks of kBlockPages pages:
//   s_j = scale q.k_j      m' = max(m, max_j s_j)      p_j = exp(s_j - m')
//   l = l exp(m - m') + sum_j p_j      o = o exp(m - m') + sum_j p_j v_j
// A block of keys meets all queries of a call (the heads of a group, neighbouring rows), kTile at a
// time so that a key is loaded once for all of them. A key beyond a query's limit has p = 0, which
// leaves its sums as they are: a query's bits do not depend on its neighbours.
#pragma once

#include "backend/cpu/kv_pages.inl"

namespace {

constexpr int kBlockKeys = kBlockPages * kPageSize;

struct Query {
  const float* q;
  float* out;
  int64_t limit;  // keys it sees
  float max;
  V16 sum;
  float* p;  // [kBlockKeys]
};

// A block's keys and values where they lie, page by page.
struct KeyBlock {
  int64_t first;  // key
  int pages;
  const uint8_t *keys[kBlockPages], *values[kBlockPages];
};

// Asks for the next block's cache lines, a few at each step of this block's loops, so that memory
// is busy all the time and no line is waited for.
struct Fetch {
  const uint8_t* parts[2 * kBlockPages];  // pages of keys and of values
  int64_t bytes[2 * kBlockPages];
  int count, next;
  int lines;  // a step
  const uint8_t *at, *end;

  void step() {
    for (int i = 0; i < lines; ++i) {
      __builtin_prefetch(at, 0, 2);
      at += 64;
      if (at >= end) turn();
    }
  }
  void turn() {
    if (next == count) {
      lines = 0;
      return;
    }
    at = parts[next];
    end = at + bytes[next++];
  }
};

// For what does not lie in the pages as it is needed: first a block's keys, then its values.
struct Room {
  alignas(64) float block[kBlockPages][kColumns * kPageSize];
  alignas(64) float page[kColumns * kPageSize];
};

// Elements [begin, begin + count) of a block's keys: those of element begin + d of page p at
// rows[p][d * kPageSize].
struct KeyRows {
  const float* rows[kBlockPages];
  int64_t begin, count;
  Room* to_fill;  // if not null, that is where rows are, and the first tile of queries fills them
};

// Some columns of a block's values, row by row: column c of key j at rows[j / 16][j % 16 * stride +
// c].
struct ValueColumns {
  const float* rows[kBlockPages];
  int64_t begin, stride, width;
  Room* to_fill;
};

// Calls f(i), and fetch.step(), for i in [0, count), four a round.
template <class F>
inline void walk(int64_t count, Fetch& fetch, F&& f) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; ++n) {
      fetch.step();
      f(i + n);
    }
  }
  for (; i < count; ++i) {
    fetch.step();
    f(i);
  }
}

// s += q.k over some elements, for kTile queries and kPages pages at once, in their p from `page`.
// Keys are read from `pages` and left in k.rows where they are not floats yet.
template <int kTile, int kPages, KvType kFrom>
[[gnu::noinline]] void score_pages(Query* queries, const KeyRows& k, const uint8_t* const* pages,
                                   int64_t key_dim, int page, Fetch& fetch) {
  V16 acc[kTile][kPages];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int p = 0; p < kPages; ++p) {
      acc[t][p] = k.begin == 0 ? set1(0.0f) : load(queries[t].p + (page + p) * kPageSize);
    }
  }
  const float *rows[kPages], *q[kTile];
  const uint8_t* from[kPages];
  float* fill[kPages];
  const int64_t begin = k.begin;
#pragma GCC unroll 4
  for (int p = 0; p < kPages; ++p) {
    rows[p] = k.rows[page + p];
    from[p] = pages[page + p];
    if constexpr (kFrom != KvType::kF32) fill[p] = k.to_fill->block[page + p];
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) q[t] = queries[t].q + k.begin;
  walk(k.count, fetch, [&](int64_t d) {
    V16 key[kPages];
#pragma GCC unroll 4
    for (int p = 0; p < kPages; ++p) {
      if constexpr (kFrom == KvType::kF32) {
        key[p] = load(rows[p] + d * kPageSize);
      } else {
        key[p] = Page<kFrom>{from[p], key_dim}.key_element(begin + d);
        store(fill[p] + d * kPageSize, key[p]);
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      const V16 x = set1(q[t][d]);
#pragma GCC unroll 4
      for (int p = 0; p < kPages; ++p) acc[t][p] = fma(x, key[p], acc[t][p]);
    }
  });
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int p = 0; p < kPages; ++p) store(queries[t].p + (page + p) * kPageSize, acc[t][p]);
  }
}

// Rescales what a query has summed up, for a larger maximum m.
inline void raise_max(Query& query, float m, int64_t dim) {
  const V16 shrink = exp(sub(set1(query.max), set1(m)));
  query.sum = mul(query.sum, shrink);
  for_each_vector(dim, [&](int64_t d, auto n) {
    store_n(query.out + d, mul(load_n(query.out + d, n), shrink), n);
  });
  query.max = m;
}

// Turns a block's scores into p, and rescales what came before. Queries side by side: one alone
// would wait for its maximum and then for its exponentials.
template <int kTile>
inline void softmax_block(Query* queries, int64_t first_key, int pages, float scale, int64_t dim) {
  float top[kTile];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
    const V16 lowest = set1(-__builtin_inff());
    V16 lanes = lowest;
    for (int p = 0; p < pages; ++p) {
      float* const at = queries[t].p + p * kPageSize;
      const int64_t left = queries[t].limit - first_key - p * kPageSize;
      V16 s = mul(load(at), set1(scale));
      if (left < kPageSize) s = keep(s, left, lowest);
      store(at, s);
      lanes = max(lanes, s);
    }
    top[t] = max_lane(lanes);
  }
  for (int t = 0; t < kTile; ++t) {
    const float m = queries[t].max > top[t] ? queries[t].max : top[t];
    if (queries[t].max != m) raise_max(queries[t], m, dim);
  }
  for (int p = 0; p < pages; ++p) {
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) {
      float* const at = queries[t].p + p * kPageSize;
      const V16 e = exp(sub(load(at), set1(queries[t].max)));
      queries[t].sum = add(queries[t].sum, e);
      store(at, e);
    }
  }
}

// out += sum_j p_j v_j over a block's keys [0, count): kWide x 16 of the columns, from `column` of
// them and `to` of out. Values are read from `pages` and left in v.rows where they are not floats
// yet.
template <int kTile, int kWide, KvType kFrom>
[[gnu::noinline]] void add_values(Query* queries, const ValueColumns& v,
                                  const uint8_t* const* pages, int64_t value_dim, int64_t count,
                                  int64_t column, Fetch& fetch) {
  const int64_t to = v.begin + column;
  V16 acc[kTile][kWide];
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) acc[t][w] = load(queries[t].out + to + w * kLanes);
  }
  for (int64_t first = 0; first < count; first += kPageSize) {
    const float* const rows = v.rows[first / kPageSize] + column;
    const Page<kFrom> from{pages[first / kPageSize], value_dim};
    [[maybe_unused]] float* fill = nullptr;
    if constexpr (kFrom != KvType::kF32) fill = v.to_fill->block[first / kPageSize] + column;
    const int64_t stride = v.stride;
    const float* p[kTile];
#pragma GCC unroll 4
    for (int t = 0; t < kTile; ++t) p[t] = queries[t].p + first;
    walk(count - first < kPageSize ? count - first : kPageSize, fetch, [&](int64_t j) {
      V16 b[kWide];
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) {
        if constexpr (kFrom == KvType::kF32) {
          b[w] = load(rows + j * stride + w * kLanes);
        } else {
          b[w] = from.value_columns(j, to + w * kLanes);
          store(fill + j * stride + w * kLanes, b[w]);
        }
      }
#pragma GCC unroll 4
      for (int t = 0; t < kTile; ++t) {
        const V16 x = set1(p[t][j]);
#pragma GCC unroll 4
        for (int w = 0; w < kWide; ++w) acc[t][w] = fma(x, b[w], acc[t][w]);
      }
    });
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTile; ++t) {
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) store(queries[t].out + to + w * kLanes, acc[t][w]);
  }
}

// The same for the last columns of a head whose width is no multiple of 16.
template <int kTile>
inline void add_values_tail(Query* queries, const ValueColumns& v, int64_t count, int64_t column) {
  const int64_t n = v.width - column, to = v.begin + column;
  for (int t = 0; t < kTile; ++t) {
    V16 acc = load_n(queries[t].out + to, n);
    for (int64_t j = 0; j < count; ++j) {
      const float* row = v.rows[j / kPageSize] + j % kPageSize * v.stride + column;
      acc = fma(set1(queries[t].p[j]), load_n(row, n), acc);
    }
    store_n(queries[t].out + to, acc, n);
  }
}

// Keys of the block that any of kTile queries sees.
template <int kTile>
inline int64_t keys_seen(const Query* queries, int64_t first) {
  int64_t limit = 0;
  for (int t = 0; t < kTile; ++t) limit = queries[t].limit > limit ? queries[t].limit : limit;
  return limit - first < kBlockKeys ? limit - first : kBlockKeys;
}

// kTile queries meet some elements of a block's keys, of type kFrom, from `page` on. kSide is how
// many pages, or column groups below, run side by side; half as many take what is left.
template <int kTile, int kSide, KvType kFrom>
void score_block(const Attention& a, const KeyBlock& b, const KeyRows& k, int page, int pages,
                 Fetch& fetch, Query* queries) {
  for (; page + kSide <= pages; page += kSide) {
    score_pages<kTile, kSide, kFrom>(queries, k, b.keys, a.key_dim, page, fetch);
  }
  if constexpr (kSide > 1) {
    score_block<kTile, kSide / 2, kFrom>(a, b, k, page, pages, fetch, queries);
  }
}

template <int kTile, int kSide, KvType kFrom>
void add_block(const Attention& a, const KeyBlock& b, const ValueColumns& v, int64_t count,
               int64_t column, Fetch& fetch, Query* queries) {
  for (; column + kSide * kLanes <= v.width; column += kSide * kLanes) {
    add_values<kTile, kSide, kFrom>(queries, v, b.values, a.value_dim, count, column, fetch);
  }
  if constexpr (kSide > 1) {
    add_block<kTile, kSide / 2, kFrom>(a, b, v, count, column, fetch, queries);
  } else if (column < v.width) {
    add_values_tail<kTile>(queries, v, count, column);
  }
}

template <int kTile, int kSide>
void meet_keys(const Attention& a, const KeyBlock& b, KeyRows& k, Fetch& fetch, Query* queries) {
  const int pages = static_cast<int>(div_up(keys_seen<kTile>(queries, b.first), kPageSize));
  if (!k.to_fill) {
    score_block<kTile, kSide, KvType::kF32>(a, b, k, 0, pages, fetch, queries);
  } else {
    with_narrow_type(a.type, [&]<KvType kType>() {
      score_block<kTile, kSide, kType>(a, b, k, 0, pages, fetch, queries);
    });
    k.to_fill = nullptr;
  }
  if (k.begin + k.count < a.key_dim) return;
  softmax_block<kTile>(queries, b.first, pages, a.scale, a.value_dim);
}

template <int kTile, int kSide>
void meet_values(const Attention& a, const KeyBlock& b, ValueColumns& v, Fetch& fetch,
                 Query* queries) {
  const int64_t count = keys_seen<kTile>(queries, b.first);
  if (!v.to_fill) return add_block<kTile, kSide, KvType::kF32>(a, b, v, count, 0, fetch, queries);
  with_narrow_type(a.type, [&]<KvType kType>() {
    add_block<kTile, kSide, kType>(a, b, v, count, 0, fetch, queries);
  });
  v.to_fill = nullptr;
}

// Elements of a block's keys from `begin` on, at most kColumns. Where all queries see the same of
// them, `alike`, what is not float yet is turned by the first tile of queries on its way.
void read_keys(const Attention& a, const KeyBlock& b, int64_t begin, bool alike, Room& room,
               KeyRows& k) {
  k.begin = begin;
  k.count = a.key_dim - begin < kColumns ? a.key_dim - begin : kColumns;
  k.to_fill = alike && a.type != KvType::kF32 ? &room : nullptr;
  for (int p = 0; p < b.pages; ++p) {
    float* const to = room.block[p];
    k.rows[p] = k.to_fill ? to : key_rows(a.type, b.keys[p], a.key_dim, begin, k.count, to);
  }
}

// A block's values from column `begin` on: all of them, or kColumns where they are to be turned.
void read_values(const Attention& a, const KeyBlock& b, int64_t begin, bool alike, Room& room,
                 ValueColumns& v) {
  const bool in_place = a.v && a.type == KvType::kF32;
  v.begin = begin;
  v.width = a.value_dim - begin;
  if (!in_place && v.width > kColumns) v.width = kColumns;
  v.stride = in_place ? a.value_dim : kColumns;
  v.to_fill = alike && a.v && !in_place && v.width % kLanes == 0 ? &room : nullptr;
  for (int p = 0; p < b.pages; ++p) {
    float* const to = room.block[p];
    v.rows[p] = to;
    if (v.to_fill) continue;
    if (a.v) {
      v.rows[p] = value_rows(a.type, b.values[p], a.value_dim, begin, v.width, to);
      continue;
    }
    const float* from = key_rows(a.type, b.keys[p], a.key_dim, begin, v.width, room.page);
    page_to_rows(from, v.width, kColumns, to);
  }
}

// The largest power of two of pages or column groups whose sums a tile of queries keeps in
// registers.
constexpr int side_of(int tile) {
  const int room = kTileRows * kTilePanels / tile;
  return room >= 4 ? 4 : room >= 2 ? 2 : 1;
}

// Calls f with tiles of the queries [begin, end) and how many they are.
template <class F>
inline void for_each_tile(Query* queries, int64_t begin, int64_t end, F&& f) {
  for (; end - begin >= 4; begin += 4) f.template operator()<4, side_of(4)>(queries + begin);
  if (end - begin == 3) f.template operator()<3, side_of(3)>(queries + begin);
  if (end - begin == 2) f.template operator()<2, side_of(2)>(queries + begin);
  if (end - begin == 1) f.template operator()<1, side_of(1)>(queries + begin);
}

KeyBlock open_block(const Attention& a, int64_t first, int64_t limit) {
  const int64_t page = first / kPageSize, pages = div_up(limit, kPageSize) - page;
  KeyBlock b{};
  b.first = first;
  b.pages = static_cast<int>(pages < kBlockPages ? pages : kBlockPages);
  for (int i = 0; i < b.pages; ++i) {
    b.keys[i] = a.k + a.pages[page + i] * a.k_stride;
    b.values[i] = a.v ? a.v + a.pages[page + i] * a.v_stride : nullptr;
  }
  return b;
}

// The fetch of block b, over the steps that the block before it takes with so many queries.
Fetch open_fetch(const Attention& a, const KeyBlock& b, int64_t queries) {
  Fetch f{};
  const int64_t scales = a.type == KvType::kI8 ? kPageSize * 4 : 0;
  const int64_t row = kPageSize * element_bytes(a.type);
  int64_t lines = 0;
  const auto add = [&](const uint8_t* part, int64_t dim) {
    f.parts[f.count] = part;
    f.bytes[f.count] = dim * row + scales;
    lines += div_up(f.bytes[f.count++], 64);
  };
  for (int i = 0; i < b.pages; ++i) add(b.keys[i], a.key_dim);
  for (int i = 0; i < b.pages && a.v; ++i) add(b.values[i], a.value_dim);
  if (f.count == 0) return f;
  const int64_t steps =
      div_up(queries, 4) * (a.key_dim + kBlockKeys * div_up(a.value_dim, kColumns));
  f.lines = static_cast<int>(div_up(lines, steps));
  f.turn();
  return f;
}

// out / sum, and the softmax's denominator.
void finish_query(const Attention& a, Query& query, float* lse) {
  const float total = sum(query.sum);
  const V16 inverse = set1(1.0f / total);
  for_each_vector(a.value_dim, [&](int64_t d, auto n) {
    store_n(query.out + d, mul(load_n(query.out + d, n), inverse), n);
  });
  if (lse) *lse = query.max + log(total);
}

void attention(const Attention& a, int64_t row_begin, int64_t row_end) {
  Query queries[kAttentionQueries];
  float p[kAttentionQueries * kBlockKeys];
  Room room;
  KeyRows k;
  ValueColumns v;
  const int64_t total = (row_end - row_begin) * a.heads;
  for (int64_t i = 0; i < total; ++i) {
    const int64_t row = row_begin + i / a.heads, head = i % a.heads;
    queries[i] = {a.q + row * a.qs + head * a.key_dim,
                  a.out + row * a.os + head * a.value_dim,
                  a.position + row + 1,
                  -__builtin_inff(),
                  set1(0.0f),
                  p + i * kBlockKeys};
    for (int64_t d = 0; d < a.value_dim; ++d) queries[i].out[d] = 0.0f;
  }
  const int64_t limit = a.position + row_end;
  for (int64_t first = 0; first < limit; first += kBlockKeys) {
    const KeyBlock b = open_block(a, first, limit);
    // Later rows see more: those that see this block are the last ones.
    const int64_t blind = first - a.position - row_begin;
    const int64_t begin = (blind > 0 ? blind : 0) * a.heads;
    const bool alike = total - begin == a.heads;  // one row
    Fetch fetch = open_fetch(
        a, first + kBlockKeys < limit ? open_block(a, first + kBlockKeys, limit) : KeyBlock{},
        total - begin);
    for (int64_t element = 0; element < a.key_dim; element += k.count) {
      read_keys(a, b, element, alike, room, k);
      for_each_tile(queries, begin, total, [&]<int kTile, int kSide>(Query* q) {
        meet_keys<kTile, kSide>(a, b, k, fetch, q);
      });
    }
    for (int64_t column = 0; column < a.value_dim; column += v.width) {
      read_values(a, b, column, alike, room, v);
      for_each_tile(queries, begin, total, [&]<int kTile, int kSide>(Query* q) {
        meet_values<kTile, kSide>(a, b, v, fetch, q);
      });
    }
  }
  for (int64_t i = 0; i < total; ++i) {
    const int64_t row = row_begin + i / a.heads, head = i % a.heads;
    finish_query(a, queries[i], a.lse ? a.lse + row * a.ls + head : nullptr);
  }
}

}  // namespace
