// Products with weights in the rows of their file (MappedWeight), or repacked from it.
//
// A format walks 16 rows from left to right, 16 bytes of each at a time, and hands what it finds to
// a sink, 16 lanes at a time. For few rows of x the sink is the chains of multiply-adds themselves
// (Chain); for many it is a block of K in the layout of the register tiles (Panel), small enough
// for the first-level cache, over which all rows then pass.
#pragma once

#include "backend/cpu/products.inl"
#include "backend/cpu/products_bytes.inl"

namespace {

// Sixteen rows of a weight, as a walk asks for them.
//
//   columns(offset, out)   16 bytes of each row from byte `offset`, transposed: lane r of out[j] is
//                          dword j of row r's
//   halves(offset)         the binary16 number there, as floats
//   last_halves(offset)    the same where a block, and with it the file, may end

// Rows as they lie in a file. A last panel that is not full repeats its last row: its columns are
// computed and not stored. What is read a panel (or a pair) later lies `ahead` of the rows; the
// lines there, which follow each other, are fetched while the rows are read, in equal steps.
template <bool kFull>
struct FileRows {
  const uint8_t* w;
  int64_t stride, last, ahead;

  struct Column {
    const uint8_t* p;
    int64_t stride, last;
    const uint8_t* operator()(int r) const { return p + (kFull || r < last ? r : last) * stride; }
  };
  // The rows from byte `offset` on, of which `bytes` will be read.
  Column at(int64_t offset, int64_t bytes) const {
    const uint8_t* next = w + ahead + kLanes * offset;
    for (int64_t i = 0; i < kLanes * bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
    return {w + offset, stride, last};
  }
  void columns(int64_t offset, I16 (&out)[4]) const { load_columns(at(offset, 16), out); }
  V16 halves(int64_t offset) const { return from_f16(load_dwords(at(offset, 2))); }
  V16 last_halves(int64_t offset) const {
    return from_f16(shift_right(load_dwords(at(offset - 2, 4)), 16));
  }
  // What lies beyond `bytes` of them counts as zeros and is not touched: the file may end there.
  void columns(int64_t offset, int64_t bytes, I16 (&out)[4]) const {
    uint8_t rest[16][16] = {};
    const auto column = at(offset, bytes);
    for (int r = 0; r < 16; ++r) memcpy(rest[r], column(r), static_cast<size_t>(bytes));
    load_columns([&](int r) { return rest[r]; }, out);
  }
};

// A repacked panel: what a walk asks of the rows of a file, in the order in which it asks. Nothing
// is left to transpose. One row of x leaves the memory's own look-ahead enough to do; more of them
// want what comes `kAhead` bytes later fetched beside.
template <bool kFetch>
struct PanelRows {
  static constexpr int64_t kAhead = 8192;
  const uint8_t* next;

  void columns(int64_t, I16 (&out)[4]) {
    for (int j = 0; j < 4; ++j) {
      if constexpr (kFetch) __builtin_prefetch(next + kAhead, 0, 3);
      out[j] = load_int(next);
      next += 64;
    }
  }
  V16 halves(int64_t) {
    const V16 x = load_f16(next);
    next += 2 * kLanes;
    return x;
  }
  V16 last_halves(int64_t offset) { return halves(offset); }
  void columns(int64_t, int64_t, I16 (&)[4]) {}  // rows are whole pieces: never called
};

// Writes such a panel: asks the file in its turn.
template <class Rows>
struct PanelWriter {
  const Rows& rows;
  uint8_t* next;

  void columns(int64_t offset, I16 (&out)[4]) {
    rows.columns(offset, out);
    for (int j = 0; j < 4; ++j, next += 64) store(next, out[j]);
  }
  V16 halves(int64_t offset) { return write(rows.at(offset, 2)); }
  V16 last_halves(int64_t offset) { return write(rows.at(offset, 2)); }
  void columns(int64_t, int64_t, I16 (&)[4]) {}

 private:
  template <class Column>
  V16 write(const Column& column) {
    for (int r = 0; r < kLanes; ++r, next += 2) memcpy(next, column(r), 2);
    return load_f16(next - 2 * kLanes);
  }
};

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
// put_bytes      elements k, ..., k + 15 of 16 columns: four times four bytes
// scale, minus   of group g
// begin, end     a chain's turn at a block of K
//
// Those of bytes are in products_bytes.inl.

struct FloatPanel {
  static constexpr int kBlock = 128;  // elements of K
  using Layout = FloatLayout;
  alignas(64) float w[kBlock * kLanes];  // [K][16]

  void put(int64_t k, V16 x) { store(w + k * kLanes, x); }
};

template <int kRows>
struct FloatChain {
  static constexpr int64_t kBlock = INT64_MAX / 2;
  const float* x;
  int64_t xs;
  V16 acc[kRows];

  FloatChain(const Matmul& m, int64_t row) : x(m.x + row * m.xs), xs(m.xs) {
    for (V16& a : acc) a = set1(0.0f);
  }
  void begin(int64_t) {}
  void put(int64_t k, V16 w) {
    for (int r = 0; r < kRows; ++r) acc[r] = fma(set1(x[r * xs + k]), w, acc[r]);
  }
  void end(int64_t) {}
};

struct Bf16Panel {
  static constexpr int kBlock = 256;
  using Layout = Bf16Layout;
  alignas(64) uint16_t w[kBlock * kLanes];  // [K / 2][16][2]

  void put_pairs(int64_t k, I16 pairs) { store(w + k * kLanes, pairs); }
};

template <int kRows>
struct Bf16Chain : FloatChain<kRows> {
  using FloatChain<kRows>::FloatChain;

  void put_pairs(int64_t k, I16 pairs) {
#if R1_BF16_DOT
    for (int r = 0; r < kRows; ++r) {
      int32_t two;
      memcpy(&two, this->x + r * this->xs + k / 2, sizeof two);
      this->acc[r].v =
          _mm512_dpbf16_ps(this->acc[r].v, (__m512bh)_mm512_set1_epi32(two), (__m512bh)pairs.v);
    }
#else
    this->put(k, as_floats(shift_left(pairs, 16)));
    this->put(k + 1, as_floats(bit_and(pairs, 0xffff0000u)));
#endif
  }
};

// --- formats ---

struct F32Rows {
  static constexpr bool kBlocks = false;
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

struct F16Rows {
  static constexpr bool kBlocks = false;
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

struct F8Rows {
  static constexpr bool kBlocks = false;
  using Panel = FloatPanel;
  // A scale holds for kScaleBlock elements: a walk must not be longer.
  template <int kRows>
  struct Chain : FloatChain<kRows> {
    static constexpr int64_t kBlock = kScaleBlock;
    using FloatChain<kRows>::FloatChain;
    void end(int64_t) { this->x += kBlock; }
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

struct Bf16Rows {
  static constexpr bool kBlocks = false;
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

// The block formats are described in tensor/quant.h.

constexpr uint32_t kNibbles = 0x0f0f0f0f;

inline void low_nibbles(const I16 (&c)[4], I16 (&out)[4]) {
  for (int j = 0; j < 4; ++j) out[j] = bit_and(c[j], kNibbles);
}
inline void high_nibbles(const I16 (&c)[4], I16 (&out)[4]) {
  for (int j = 0; j < 4; ++j) out[j] = bit_and(shift_right(c[j], 4), kNibbles);
}

struct Q8_0Rows {
  static constexpr bool kBlocks = true;
  using Panel = BytePanel<32, false>;
  template <int kRows>
  using Chain = ByteChain<32, false, kRows>;
  static constexpr int64_t bytes(int64_t k) { return k / 32 * 34; }

  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    const I16 bias = set1_int(static_cast<int32_t>(0x01010101u * kByteBias));
    for (int64_t e = 0; e < count; e += 32) {
      sink.scale(e / 32, row.halves(bytes(k + e)));
      each_piece(row, bytes(k + e) + 2, 32, [&](int64_t i, const I16(&c)[4]) {
        I16 q[4];
        for (int j = 0; j < 4; ++j) q[j] = kByteBias == 0 ? c[j] : add_bytes(c[j], bias);
        sink.put_bytes(e + 16 * i, q);
      });
    }
  }
};

struct Q4_0Rows {
  static constexpr bool kBlocks = true;
  using Panel = BytePanel<32, false>;
  template <int kRows>
  using Chain = ByteChain<32, false, kRows>;
  static constexpr int64_t bytes(int64_t k) { return k / 32 * 18; }

  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    for (int64_t e = 0; e < count; e += 32) {
      sink.scale(e / 32, row.halves(bytes(k + e)));
      each_piece(row, bytes(k + e) + 2, 16, [&](int64_t, const I16(&c)[4]) {
        I16 q[4];
        low_nibbles(c, q);
        sink.put_bytes(e, q);
        high_nibbles(c, q);
        sink.put_bytes(e + 16, q);
      });
    }
  }
};

struct Q4_KRows {
  static constexpr bool kBlocks = true;
  using Panel = BytePanel<32, true>;
  template <int kRows>
  using Chain = ByteChain<32, true, kRows>;
  static constexpr int64_t bytes(int64_t k) { return k / 256 * 144; }

  // Scale and minimum of the j-th 32 elements, from a block's first 16 bytes: d, dmin, 12 packed.
  static I16 scale_of(const I16 (&head)[4], int j) {
    if (j < 4) return bit_and(shift_right(head[1], 8 * j), 63);
    const int at = 8 * (j - 4);
    return bit_or(bit_and(shift_right(head[3], at), 15),
                  shift_left(bit_and(shift_right(head[1], at + 6), 3), 4));
  }
  static I16 minimum_of(const I16 (&head)[4], int j) {
    if (j < 4) return bit_and(shift_right(head[2], 8 * j), 63);
    const int at = 8 * (j - 4);
    return bit_or(bit_and(shift_right(head[3], at + 4), 15),
                  shift_left(bit_and(shift_right(head[2], at + 6), 3), 4));
  }

  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    for (int64_t e = 0; e < count; e += 256) {
      const int64_t at = bytes(k + e);
      I16 head[4];
      row.columns(at, head);
      const V16 d = from_f16(head[0]);
      const V16 minus = sub(set1(0.0f), from_f16(shift_right(head[0], 16)));
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        sink.scale(e / 32 + j, mul(d, to_float(scale_of(head, j))));
        sink.minus(e / 32 + j, mul(minus, to_float(minimum_of(head, j))));
      }
      each_piece(row, at + 16, 128, [&](int64_t i, const I16(&c)[4]) {
        const int64_t first = e + i / 2 * 64 + i % 2 * 16;
        I16 q[4];
        low_nibbles(c, q);
        sink.put_bytes(first, q);
        high_nibbles(c, q);
        sink.put_bytes(first + 32, q);
      });
    }
  }
};

struct Q6_KRows {
  static constexpr bool kBlocks = true;
  using Panel = BytePanel<16, false>;
  template <int kRows>
  using Chain = ByteChain<16, false, kRows>;
  static constexpr int64_t bytes(int64_t k) { return k / 256 * 210; }

  template <class Row, class Sink>
  static void walk(Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Sink& sink) {
    for (int64_t e = 0; e < count; e += 256) {
      const int64_t at = bytes(k + e);
      const V16 d = row.last_halves(at + 208);
      I16 s[4];
      row.columns(at + 192, s);
      for (int j = 0; j < 16; ++j) {
        const I16 scale = shift_right_signed(shift_left(s[j / 4], 24 - 8 * (j % 4)), 24);
        sink.scale(e / 16 + j, mul(d, to_float(scale)));
      }
      // Of 128 elements, 16 of the first 32 and those 32, 64 and 96 further share bytes.
      for (int64_t part = 0; part < 4; ++part) {
        const int64_t half = part / 2, i = part % 2 * 16;
        I16 first[4], second[4], upper[4];
        row.columns(at + 64 * half + i, first);
        row.columns(at + 64 * half + 32 + i, second);
        row.columns(at + 128 + 32 * half + i, upper);
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          I16 q[4];
          for (int j = 0; j < 4; ++j) {
            const I16 low = shift_right(c % 2 ? second[j] : first[j], c / 2 * 4);
            const I16 high = bit_and(shift_right(upper[j], 2 * c), 0x03030303);
            q[j] = bit_or(bit_and(low, kNibbles), shift_left(high, 4));
          }
          sink.put_bytes(e + 128 * half + 32 * c + i, q);
        }
      }
    }
  }
};

// Calls f with the panel's rows in the file; the panel to be read `later` after it is fetched.
template <class F>
inline void with_file_rows(const Matmul& m, int64_t panel, int64_t later, const F& f) {
  const int64_t first = panel * kLanes, width = m.n - first;
  const int64_t ahead = later * kLanes * m.row_bytes;
  const uint8_t* w = m.w + first * m.row_bytes;
  if (width >= kLanes) {
    f(FileRows<true>{w, m.row_bytes, 15, ahead});
  } else {
    f(FileRows<false>{w, m.row_bytes, width - 1, ahead});
  }
}

// Calls walk for the panel's rows.
template <class Format, bool kOneRow, class Sink>
inline void walk_panel(const Matmul& m, int64_t panel, int64_t k, int64_t count, int64_t later,
                       Sink& sink) {
  if constexpr (Format::kBlocks) {
    if (m.repacked) {
      PanelRows<!kOneRow> rows{m.w + kLanes * (panel * m.row_bytes + Format::bytes(k))};
      return Format::walk(rows, m, panel, k, count, sink);
    }
  }
  with_file_rows(m, panel, later, [&](auto rows) { Format::walk(rows, m, panel, k, count, sink); });
}

// Few rows: the chains of one panel, from one end of K to the other.
template <class Format, int kRows>
void chain_rows(const Matmul& m, int64_t row, int64_t panel) {
  using Chain = typename Format::template Chain<kRows>;
  Chain chain(m, row);
  for (int64_t k = 0; k < m.k; k += Chain::kBlock) {
    const int64_t count = m.k - k < Chain::kBlock ? m.k - k : Chain::kBlock;
    chain.begin(k);
    walk_panel<Format, kRows == 1>(m, panel, k, count, 1, chain);
    chain.end(k);
  }
  for (int r = 0; r < kRows; ++r) finish(m, row + r, panel, chain.acc[r]);
}

template <class Format>
void chain_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                   int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    int64_t row = row_begin;
    const auto chains = [&]<int kRows>() {
      for (; row + kRows <= row_end; row += kRows) chain_rows<Format, kRows>(m, row, panel);
    };
    chains.template operator()<8>();
    chains.template operator()<4>();
    chains.template operator()<2>();
    chains.template operator()<1>();
  }
}

// So many rows at most are faster as chains, which walk a panel once for eight of them, than over
// panels that are expanded first.
constexpr int64_t kChainRows = 8;

// All rows of [row_begin, row_end) over one block.
template <class Layout, int kPanels>
void pass_rows(const Matmul& m, Block block, int64_t row_begin, int64_t row_end, int64_t panel) {
  int64_t row = row_begin;
  const auto tiles = [&]<int kRows>() {
    for (; row + kRows <= row_end; row += kRows) {
      product_tile<Layout, kRows, kPanels>(m, block, row, panel);
      block.partial += kRows * kTilePanels * kLanes;
    }
  };
  tiles.template operator()<Layout::kRows>();
  if constexpr (Layout::kRows > 4) tiles.template operator()<4>();
  if constexpr (Layout::kRows > 2) tiles.template operator()<2>();
  tiles.template operator()<1>();
}

// At most kMappedRows rows.
template <class Format>
void mapped_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                    int64_t panel_end) {
  if (row_end - row_begin <= kChainRows) {
    return chain_product<Format>(m, row_begin, row_end, panel_begin, panel_end);
  }
  using Panel = typename Format::Panel;
  Panel panels[kTilePanels];
  alignas(64) float partial[kMappedRows * kTilePanels * kLanes];
  for (int64_t panel = panel_begin; panel < panel_end; panel += kTilePanels) {
    const int64_t some = panel_end - panel < kTilePanels ? panel_end - panel : kTilePanels;
    for (int64_t k = 0; k < m.k; k += Panel::kBlock) {
      const int64_t count = m.k - k < Panel::kBlock ? m.k - k : Panel::kBlock;
      const bool last = k + count == m.k;
      for (int64_t p = 0; p < some; ++p) {
        walk_panel<Format, false>(m, panel + p, k, count, kTilePanels, panels[p]);
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

// A sink for walks whose rows alone matter.
struct NoSink {
  void put(int64_t, V16) {}
  void put_pairs(int64_t, I16) {}
  void put_bytes(int64_t, const I16 (&)[4]) {}
  void scale(int64_t, V16) {}
  void minus(int64_t, V16) {}
};

template <class Format>
void repack_panels(const Matmul& m, uint8_t* out, int64_t panel_begin, int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    with_file_rows(m, panel, 1, [&](const auto& rows) {
      PanelWriter<std::remove_cvref_t<decltype(rows)>> writer{rows,
                                                              out + panel * kLanes * m.row_bytes};
      NoSink sink;
      Format::walk(writer, m, panel, 0, m.k, sink);
    });
  }
}

void repack(const Matmul& m, uint8_t* out, int64_t panel_begin, int64_t panel_end) {
  const auto run = [&](auto* f) { f(m, out, panel_begin, panel_end); };
  switch (m.format) {
    case Format::kF32:
      return run(repack_panels<F32Rows>);
    case Format::kBf16:
      return run(repack_panels<Bf16Rows>);
    case Format::kQ8_0:
      return run(repack_panels<Q8_0Rows>);
    case Format::kQ4_0:
      return run(repack_panels<Q4_0Rows>);
    case Format::kQ4_K:
      return run(repack_panels<Q4_KRows>);
    case Format::kQ6_K:
      return run(repack_panels<Q6_KRows>);
    default:
      return;
  }
}

void matmul(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
            int64_t panel_end) {
  const auto run = [&](auto* product) { product(m, row_begin, row_end, panel_begin, panel_end); };
  switch (m.format) {
    case Format::kPackedF32:
      return run(packed_product<FloatLayout>);
    case Format::kPackedBf16:
      return run(packed_product<Bf16Layout>);
    case Format::kF32:
      return run(mapped_product<F32Rows>);
    case Format::kBf16:
      return run(mapped_product<Bf16Rows>);
    case Format::kF16:
      return run(mapped_product<F16Rows>);
    case Format::kF8:
      return run(mapped_product<F8Rows>);
    case Format::kQ8_0:
      return run(mapped_product<Q8_0Rows>);
    case Format::kQ4_0:
      return run(mapped_product<Q4_0Rows>);
    case Format::kQ4_K:
      return run(mapped_product<Q4_KRows>);
    case Format::kQ6_K:
      return run(mapped_product<Q6_KRows>);
  }
}

}  // namespace
