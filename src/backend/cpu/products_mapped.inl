// Products with weights of plain types in the rows of their file (MappedWeight); those in block
// formats are in block_formats.inl. And the tables that choose among all products.
//
// A format walks 16 rows from left to right, 16 bytes of each at a time, and hands what it finds to
// a sink, 16 lanes at a time. For few rows of x the sink is the chains of multiply-adds themselves
// (Chain); for many it is a block of K in the layout of the register tiles (Panel), small enough
// for the first-level cache, over which all rows then pass.
#pragma once

#include "backend/cpu/products.inl"
#include "backend/cpu/products_bytes.inl"

namespace {

// sink(i, columns) for each 16 bytes of [begin, begin + bytes) of the rows.
template <class Row, class Sink>
inline void each_piece(Row& row, int64_t begin, int64_t bytes, const Sink& sink) {
  I16 columns[4];
  int64_t i = 0;
  for (; 16 * i + 16 <= bytes; ++i) {
    row.columns(begin + 16 * i, columns);
    sink(i, columns);
  }
  const int64_t left = bytes - 16 * i;
  if (left == 0) return;
  row.columns(begin + 16 * i, left, columns);
  sink(i, columns);
}

// --- sinks ---
//
// put(k, w)      element k of K (counted from the walk's first), 16 columns
// put_pairs      elements k and k + 1 as bf16
// end            of a chain's turn at a block of K

struct FloatPanel {
  static constexpr int kBlock = 128;  // elements of K
  using Layout = FloatLayout<false>;
  alignas(64) float w[kBlock * kLanes];  // [K][16]

  void put(int64_t k, V16 x) { store(w + k * kLanes, x); }
};

template <int kRows, class T, class Rows>
struct Chains {
  static constexpr int64_t kBlock = INT64_MAX / 2;
  using Tile = T;
  Rows x;
  V16 acc[kRows];

  Chains(const Matmul& m, int64_t row) : x(m, row, 0) {
    for (V16& a : acc) a = set1(0.0f);
  }
  void end(int64_t) {}
};

template <int kRows>
struct FloatChain : Chains<kRows, PlainTile, PlainRows<kRows>> {
  using Chains<kRows, PlainTile, PlainRows<kRows>>::Chains;
  void put(int64_t k, V16 w) {
    for (int r = 0; r < kRows; ++r) {
      this->acc[r] = fma(set1(*this->x.at(r, k)), w, this->acc[r]);
    }
  }
};

struct Bf16Panel {
  static constexpr int kBlock = 256;
  using Layout = Bf16Layout;
  alignas(64) uint16_t w[kBlock * kLanes];  // [K / 2][16][2]

  void put_pairs(int64_t k, I16 pairs) { store(w + k * kLanes, pairs); }
};

template <int kRows>
struct Bf16Chain : Chains<kRows, GroupTile, GroupedRows<true, kRows>> {
  using Chains<kRows, GroupTile, GroupedRows<true, kRows>>::Chains;
  void put_pairs(int64_t k, I16 pairs) {
#pragma GCC unroll 24
    for (int r = 0; r < kRows; ++r) {
#if R1_BF16_DOT
      int32_t two;
      memcpy(&two, this->x.at(r, k / 2), sizeof two);
      this->acc[r].v =
          _mm512_dpbf16_ps(this->acc[r].v, (__m512bh)_mm512_set1_epi32(two), (__m512bh)pairs.v);
#else
      this->acc[r] = fma(set1(*this->x.at(r, k)), as_floats(shift_left(pairs, 16)), this->acc[r]);
      this->acc[r] =
          fma(set1(*this->x.at(r, k + 1)), as_floats(bit_and(pairs, 0xffff0000u)), this->acc[r]);
#endif
    }
  }
};

// --- formats ---

struct F32File {
  using Panel = FloatPanel;
  template <int kRows>
  using Chain = FloatChain<kRows>;
  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    each_piece(row, 4 * k, 4 * count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 4; ++j) {
        if (4 * i + j < count) sink.put(4 * i + j, as_floats(c[j]));
      }
    });
  }
};

struct F16File {
  using Panel = FloatPanel;
  template <int kRows>
  using Chain = FloatChain<kRows>;
  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    each_piece(row, 2 * k, 2 * count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 8; ++j) {
        if (8 * i + j < count) sink.put(8 * i + j, from_f16(shift_right(c[j / 2], j % 2 * 16)));
      }
    });
  }
};

// The exponent of E4M3 has a bias of 7, that of a float 127: what is moved into a float's place is
// 2^-120 of the value. All ones is NaN.
inline V16 from_f8(I16 x, V16 scale) {
  const V16 magnitude = mul(as_floats(shift_left(bit_and(x, 0x7f), 20)), set1(0x1p120f));
  const V16 value = select_less(set1(479.0f), magnitude, set1(__builtin_nanf("")), magnitude);
  const V16 sign = to_float(bit_and(x, 0x80));
  return mul(select_less(set1(0.0f), sign, sub(set1(0.0f), value), value), scale);
}

struct F8File {
  using Panel = FloatPanel;
  // A scale holds for kScaleBlock elements: a walk must not be longer.
  template <int kRows>
  struct Chain : FloatChain<kRows> {
    static constexpr int64_t kBlock = kScaleBlock;
    using FloatChain<kRows>::FloatChain;
    void end(int64_t) { this->x.x += kBlock; }
  };

  template <class Row, class Sink>
  static void walk(Row& row, const Matmul& m, int64_t panel, int64_t k, int64_t count, Sink& sink) {
    static_assert(Panel::kBlock <= kScaleBlock);
    const V16 scale =
        set1(m.scales[panel * kLanes / kScaleBlock * div_up(m.k, kScaleBlock) + k / kScaleBlock]);
    each_piece(row, k, count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 16; ++j) {
        if (16 * i + j < count) {
          sink.put(16 * i + j, from_f8(shift_right(c[j / 4], j % 4 * 8), scale));
        }
      }
    });
  }
};

struct Bf16File {
  using Panel = Bf16Panel;
  template <int kRows>
  using Chain = Bf16Chain<kRows>;
  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    each_piece(row, 2 * k, 2 * count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 4; ++j) {
        if (8 * i + 2 * j < count) sink.put_pairs(8 * i + 2 * j, c[j]);
      }
    });
  }
};

// Walks elements [k, k + count) of the panel's rows; the panel to be read `later` after it is
// fetched.
template <class Format, class Sink>
inline void walk_panel(const Matmul& m, int64_t panel, int64_t k, int64_t count, int64_t later,
                       Sink& sink) {
  with_file_rows(m, panel, later, [&](auto rows) { Format::walk(rows, m, panel, k, count, sink); });
}

// Few rows: the chains of one panel, from one end of K to the other.
template <class Format, int kRows>
void chain_rows(const Matmul& m, int64_t row, int64_t panel) {
  using Chain = typename Format::template Chain<kRows>;
  Chain chain(m, row);
  for (int64_t k = 0; k < m.k; k += Chain::kBlock) {
    const int64_t count = m.k - k < Chain::kBlock ? m.k - k : Chain::kBlock;
    walk_panel<Format>(m, panel, k, count, 1, chain);
    chain.end(k);
  }
  for (int r = 0; r < kRows; ++r) finish(m, row + r, panel, chain.acc[r]);
}

template <class Format>
void chain_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                   int64_t panel_end) {
  using Tile = typename Format::template Chain<1>::Tile;
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    each_tile<Tile>(row_begin, row_end,
                    [&]<int kRows>(int64_t row) { chain_rows<Format, kRows>(m, row, panel); });
  }
}

// So many rows at most are faster as chains, which walk a panel once for eight of them, than over
// panels that are expanded first.
constexpr int64_t kChainRows = 8;

template <class Format>
void mapped_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                    int64_t panel_end) {
  if (row_end - row_begin <= kChainRows) {
    return chain_product<Format>(m, row_begin, row_end, panel_begin, panel_end);
  }
  using Panel = typename Format::Panel;
  Panel panels[kTilePanels];
  alignas(64) float partial[kMatmulRows * kTilePanels * kLanes];
  for (int64_t panel = panel_begin; panel < panel_end; panel += kTilePanels) {
    const int64_t some = panel_end - panel < kTilePanels ? panel_end - panel : kTilePanels;
    for (int64_t k = 0; k < m.k; k += Panel::kBlock) {
      const int64_t count = m.k - k < Panel::kBlock ? m.k - k : Panel::kBlock;
      const bool last = k + count == m.k;
      for (int64_t p = 0; p < some; ++p) {
        walk_panel<Format>(m, panel + p, k, count, kTilePanels, panels[p]);
      }
      const auto pass = [&]<int kPanels>(int64_t p) {
        const Block block{reinterpret_cast<const char*>(panels + p),
                          sizeof(Panel),
                          k,
                          count,
                          k == 0,
                          last,
                          partial + p * kLanes};
        pass_rows<typename Panel::Layout, kPanels>(m, block, row_begin, row_end, panel + p);
      };
      if (some == kTilePanels) {
        pass.template operator()<kTilePanels>(0);
      } else {
        for (int64_t p = 0; p < some; ++p) pass.template operator()<1>(p);
      }
    }
  }
}

// Whole pieces of 16 bytes: four columns of packed float32, or of bf16 pairs.
void repack_pieces(const Matmul& m, uint8_t* out, int64_t panel_begin, int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    with_file_rows(m, panel, 1, [&](auto rows) {
      uint8_t* to = out + panel * kLanes * m.row_bytes;
      each_piece(rows, 0, m.row_bytes, [&](int64_t, const I16(&c)[4]) {
        for (int j = 0; j < 4; ++j, to += kColumnBytes) store(to, c[j]);
      });
    });
  }
}

void repack(const Matmul& m, uint8_t* out, int64_t panel_begin, int64_t panel_end) {
  const auto run = [&](auto* f) { f(m, out, panel_begin, panel_end); };
  switch (m.format) {
    case Format::kF32:
    case Format::kBf16:
      return run(repack_pieces);
    default:
      with_block_format(m.format, [&]<class Block>(Block) { run(repack_blocks<Block>); });
  }
}

void matmul(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
            int64_t panel_end) {
  const auto run = [&](auto* product) { product(m, row_begin, row_end, panel_begin, panel_end); };
  switch (m.format) {
    case Format::kPackedF32:
      return m.grouped ? run(packed_product<FloatLayout<true>>)
                       : run(packed_product<FloatLayout<false>>);
    case Format::kPackedBf16:
      return run(packed_product<Bf16Layout>);
    case Format::kF32:
      return run(mapped_product<F32File>);
    case Format::kBf16:
      return run(mapped_product<Bf16File>);
    case Format::kF16:
      return run(mapped_product<F16File>);
    case Format::kF8:
      return run(mapped_product<F8File>);
    default:
      with_block_format(m.format, [&]<class Block>(Block) { run(block_product<Block>); });
  }
}

}  // namespace
