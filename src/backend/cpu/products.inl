// Matrix products: packing and the register tiles. The weight's gradient is in
// products_backward.inl.
//
// Each output element is one chain of fused multiply-adds that walks K in order. A tile computes
// kRows x (16 kPanels) of them in registers; which tile an element falls into changes how many
// chains run side by side, never a chain itself.
#pragma once

#include "backend/cpu/input_rows.inl"

namespace {

// Panels from rows of columns: K is contiguous in w.
void pack_f32_rows(const float* w, int64_t ws, int64_t n, int64_t k, float* out,
                   int64_t panel_begin, int64_t panel_end) {
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    float* panel = out + p * k * kLanes;
    const float* rows = w + p * kLanes * ws;
    const int64_t width = lanes_left(n - p * kLanes);
    int64_t i = 0;
    for (; width == kLanes && i + 4 <= k; i += 4) {
      I16 columns[4];
      load_columns([&](int c) { return reinterpret_cast<const uint8_t*>(rows + c * ws + i); },
                   columns);
      for (int j = 0; j < 4; ++j) store(panel + (i + j) * kLanes, columns[j]);
    }
    for (; i < k; ++i) {
      for (int64_t c = 0; c < kLanes; ++c) {
        panel[i * kLanes + c] = c < width ? rows[c * ws + i] : 0.0f;
      }
    }
  }
}

void pack_f32(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k, float* out,
              int64_t panel_begin, int64_t panel_end) {
  if (!transpose) return pack_f32_rows(w, ws, n, k, out, panel_begin, panel_end);
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    for (int64_t i = 0; i < k; ++i) {
      store(out + (p * k + i) * kLanes,
            load_n(w + i * ws + p * kLanes, lanes_left(n - p * kLanes)));
    }
  }
}

void pack_bf16(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k, uint16_t* out,
               int64_t panel_begin, int64_t panel_end) {
  constexpr int64_t kBlock = 64;  // of K, so that what is packed as floats stays near
  float floats[kBlock * kLanes];
  const int64_t padded = div_up(k, 2) * 2;
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    const int64_t column = p * kLanes;
    for (int64_t first = 0; first < k; first += kBlock) {
      const int64_t count = k - first < kBlock ? k - first : kBlock;
      pack_f32(w + (transpose ? first * ws + column : column * ws + first), ws, transpose,
               n - column, count, floats, 0, 1);
      if (count % 2) store(floats + count * kLanes, set1(0.0f));
      uint16_t* panel = out + (p * padded + first) * kLanes;
      for (int64_t i = 0; i < count; i += 2) {
        const V16 even = round_bf16(load(floats + i * kLanes));
        const V16 odd = round_bf16(load(floats + (i + 1) * kLanes));
        store(panel + i * kLanes, bf16_pairs(even, odd));
      }
    }
  }
}

// --- tiles ---
//
// kRows by 16 kPanels sums in registers. Rows are cut into tiles of kRows, then of the largest
// whole number of kGroup, then of what is left over.

// For rows as they lie.
struct PlainTile {
  static constexpr int kRows = kTileRows, kPanels = kTilePanels;
  static constexpr int kGroup = kTileRows % 4 == 0 ? 4 : kTileRows;
};

// For rows in groups: as many sums in as few panels as can be, so that weights are few streams and
// each is read once for many rows.
struct GroupTile {
  static constexpr int kRows = kTileRows * kTilePanels, kPanels = 1, kGroup = kRowGroup;
};

// Calls f<kRows>(row) for the tiles of [row_begin, row_end).
template <class Tile, class F>
inline void each_tile(int64_t row_begin, int64_t row_end, const F& f) {
  static_assert(Tile::kGroup <= 8);
  int64_t row = row_begin;
  const auto wholes = [&]<int kRows>() {
    for (; row + kRows <= row_end; row += kRows) f.template operator()<kRows>(row);
  };
  wholes.template operator()<Tile::kRows>();
  if constexpr (Tile::kRows > 2 * Tile::kGroup) wholes.template operator()<2 * Tile::kGroup>();
  if constexpr (Tile::kRows > Tile::kGroup) wholes.template operator()<Tile::kGroup>();
  if (row == row_end) return;
  with_rows(row_end - row, [&]<int kRows>() {
    if constexpr (kRows < Tile::kGroup) f.template operator()<kRows>(row);
  });
}

// A block of K of some panels in the layout that a tile reads, and where the tile's sums come from
// and go to. Many rows pass over one block after another, and the sums wait in `partial` between
// them: the chain is the same.
struct Block {
  const char* w;        // of the first panel
  int64_t panel_bytes;  // from one panel to the next
  int64_t k, count;     // elements [k, k + count) of K
  bool first, last;
  float* partial;  // [rows, 16 kTilePanels], of the tile's first row
};

// Asks for what a tile of many rows will read of a panel: with that much arithmetic between two
// loads the processor's own look-ahead is too short. Where memory is the limit, as far as the
// second-level cache: more such requests can be under way.
template <int kRows>
inline void ask_ahead(const char* w) {
  constexpr int64_t kAhead = 4096;
  if constexpr (kRows > 2 * kRowGroup) {
    __builtin_prefetch(w + kAhead, 0, 3);
  } else if constexpr (kRows >= kRowGroup) {
    __builtin_prefetch(w + kAhead, 0, 2);
  }
}

// The layouts: what a tile's sums are made of. multiply() continues the chains `acc` of kRows rows
// and kPanels panels over one block.

template <bool kGrouped>
struct FloatLayout {
  using Tile = std::conditional_t<kGrouped, GroupTile, PlainTile>;
  template <int kRows>
  using Rows = std::conditional_t<kGrouped, GroupedRows<false, kRows>, PlainRows<kRows>>;
  static constexpr int64_t kBlock = 512;  // elements of K: all rows pass over them in turn

  template <int kRows, int kPanels>
  static void multiply(const Matmul& m, const Block& block, int64_t row,
                       V16 (&acc)[kRows][kPanels]) {
    const Rows<kRows> x(m, row, block.k);
    for (int64_t i = 0; i < block.count; ++i) {
      V16 b[kPanels];
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        const char* w = block.w + p * block.panel_bytes + i * 4 * kLanes;
        if constexpr (kGrouped) ask_ahead<kRows>(w);
        b[p] = load(reinterpret_cast<const float*>(w));
      }
#pragma GCC unroll 24
      for (int r = 0; r < kRows; ++r) {
        const V16 a = set1(*x.at(r, i));
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) acc[r][p] = fma(a, b[p], acc[r][p]);
      }
    }
  }
};

struct Bf16Layout {
  using Tile = GroupTile;
  static constexpr int64_t kBlock = 1024;

  template <int kRows, int kPanels>
  static void multiply(const Matmul& m, const Block& block, int64_t row,
                       V16 (&acc)[kRows][kPanels]) {
    const int64_t pairs = div_up(block.count, 2);
    const GroupedRows<true, kRows> x(m, row, block.k);
    for (int64_t i = 0; i < pairs; ++i) {
      const uint16_t* w[kPanels];
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        const char* at = block.w + p * block.panel_bytes + i * 4 * kLanes;
        ask_ahead<kRows>(at);
        w[p] = reinterpret_cast<const uint16_t*>(at);
      }
#if R1_BF16_DOT
      __m512bh b[kPanels];
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) b[p] = (__m512bh)_mm512_loadu_si512(w[p]);
#pragma GCC unroll 24
      for (int r = 0; r < kRows; ++r) {
        int32_t pair;
        memcpy(&pair, x.at(r, i), sizeof pair);
        const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) acc[r][p].v = _mm512_dpbf16_ps(acc[r][p].v, a, b[p]);
      }
#else
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        V16 b[kPanels];
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) {
          b[p] = half == 0 ? load_bf16_first(w[p]) : load_bf16_second(w[p]);
        }
#pragma GCC unroll 24
        for (int r = 0; r < kRows; ++r) {
          const V16 a = set1(*x.at(r, 2 * i + half));
#pragma GCC unroll 8
          for (int p = 0; p < kPanels; ++p) acc[r][p] = fma(a, b[p], acc[r][p]);
        }
      }
#endif
    }
  }
};

// out = (add ? out : 0) + bias + acc, for one panel of one row.
inline void finish(const Matmul& m, int64_t row, int64_t panel, V16 acc) {
  const int64_t column = panel * kLanes;
  const int64_t width = lanes_left(m.n - column);
  float* out = m.out + row * m.os + column;
  if (width == kLanes) {
    if (m.bias) acc = add(acc, load(m.bias + column));
    if (m.add) acc = add(load(out), acc);
    store(out, acc);
  } else {
    if (m.bias) acc = add(acc, load_n(m.bias + column, width));
    if (m.add) acc = add(load_n(out, width), acc);
    store_n(out, acc, width);
  }
}

template <class Layout, int kRows, int kPanels>
void product_tile(const Matmul& m, const Block& block, int64_t row, int64_t panel) {
  constexpr int kPartialStride = kTilePanels * kLanes;
  V16 acc[kRows][kPanels];
#pragma GCC unroll 24
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      acc[r][p] = block.first ? set1(0.0f) : load(block.partial + r * kPartialStride + p * kLanes);
    }
  }
  Layout::template multiply<kRows, kPanels>(m, block, row, acc);
#pragma GCC unroll 24
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      if (block.last) {
        finish(m, row + r, panel + p, acc[r][p]);
      } else {
        store(block.partial + r * kPartialStride + p * kLanes, acc[r][p]);
      }
    }
  }
}

// All rows of [row_begin, row_end) over one block of kPanels panels. Tiles of few rows take all of
// them side by side, for more chains than a multiply-add has stages.
template <class Layout, int kPanels>
void pass_rows(const Matmul& m, const Block& block, int64_t row_begin, int64_t row_end,
               int64_t panel) {
  using Tile = typename Layout::Tile;
  const auto tile = [&]<int kRows, int kTile>(int64_t row, int p) {
    Block part = block;
    part.w += p * block.panel_bytes;
    part.partial += (row - row_begin) * kTilePanels * kLanes + p * kLanes;
    product_tile<Layout, kRows, kTile>(m, part, row, panel + p);
  };
  constexpr int kSide = Tile::kPanels < kPanels ? Tile::kPanels : kPanels;
  constexpr int kFew = kSide < kPanels ? Tile::kGroup : 0;
  for (int p = 0; p < kPanels; p += kSide) {
    each_tile<Tile>(row_begin, row_end, [&]<int kRows>(int64_t row) {
      if constexpr (kRows > kFew) tile.template operator()<kRows, kSide>(row, p);
    });
  }
  each_tile<Tile>(row_begin, row_end, [&]<int kRows>(int64_t row) {
    if constexpr (kRows <= kFew) tile.template operator()<kRows, kPanels>(row, 0);
  });
}

// Elements [k, k + count) of K of a packed weight.
inline Block packed_block(const Matmul& m, int64_t panel, int64_t k, int64_t count) {
  const bool bf16 = m.format == Format::kPackedBf16;
  const int64_t element = kLanes * (bf16 ? 2 : 4),
                bytes = (bf16 ? div_up(m.k, 2) * 2 : m.k) * element;
  return {reinterpret_cast<const char*>(m.w) + panel * bytes + k * element,
          bytes,
          k,
          count,
          k == 0,
          k + count == m.k,
          nullptr};
}

// One row or two: as many panels side by side as make kChains chains, K in one block.
template <class Layout, int kRows, int kChains>
void product_few(const Matmul& m, int64_t row, int64_t panel_begin, int64_t panel_end) {
  int64_t panel = panel_begin;
  const auto panels = [&]<int kPanels>() {
    for (; panel + kPanels <= panel_end; panel += kPanels) {
      product_tile<Layout, kRows, kPanels>(m, packed_block(m, panel, 0, m.k), row, panel);
    }
  };
  panels.template operator()<kChains / kRows>();
  if constexpr (kChains / kRows > 4) panels.template operator()<4>();
  if constexpr (kChains / kRows > 2) panels.template operator()<2>();
  panels.template operator()<1>();
}

template <class Layout>
void packed_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                    int64_t panel_end) {
  const int64_t rows = row_end - row_begin;
  if (rows == 1)
    return product_few<Layout, 1, 4 * kTilePanels>(m, row_begin, panel_begin, panel_end);
  if (rows == 2)
    return product_few<Layout, 2, 4 * kTilePanels>(m, row_begin, panel_begin, panel_end);
  alignas(64) float partial[kMatmulRows * kTilePanels * kLanes];
  int64_t panel = panel_begin;
  const auto panels = [&]<int kPanels>() {
    for (; panel + kPanels <= panel_end; panel += kPanels) {
      for (int64_t k = 0; k < m.k; k += Layout::kBlock) {
        Block block =
            packed_block(m, panel, k, m.k - k < Layout::kBlock ? m.k - k : Layout::kBlock);
        block.partial = partial;
        pass_rows<Layout, kPanels>(m, block, row_begin, row_end, panel);
      }
    }
  };
  panels.template operator()<kTilePanels>();
  if constexpr (kTilePanels > 1) panels.template operator()<1>();
}

}  // namespace
