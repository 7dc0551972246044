// Products with weights in the rows of their file (MappedWeight), which are never copied as a
// whole.
//
// A block of K of a few panels is expanded into the layout that the register tiles read, small
// enough to stay in the first-level cache; then all rows pass over it. Expanding is a transposition
// of 16 rows, 16 bytes of each at a time (load_columns), and for block formats a look at their
// scales.
//
// Block formats multiply whole numbers: sums of products of bytes are exact, so only the chain of
// multiply-adds over groups remains to be kept in order:
//   acc = fma(float(sum q w), weight scale * row scale, acc)     group by group
//   acc = fma(-minimum, row scale * sum q, acc)                  after each group that has minima

namespace {

constexpr int kBytesGroup = 32;  // elements of a row of x that share a scale

// Rows of x to bytes: scale = max |x| / 127 over 32 elements, q = x * (127 / max |x|), to nearest,
// ties to even. Below 1e-30 everything is zero: the factor would overflow.
void byte_rows(const float* x, int64_t xs, const ByteRows& out, int64_t row_begin,
               int64_t row_end) {
  const int64_t blocks = out.k / kBytesGroup, groups = kBytesGroup / out.group;
  for (int64_t t = row_begin; t < row_end; ++t) {
    for (int64_t b = 0; b < blocks; ++b) {
      const V16 first = load(x + t * xs + b * kBytesGroup);
      const V16 second = load(x + t * xs + b * kBytesGroup + kLanes), zero = set1(0.0f);
      const float top = max_lane(max(max(first, sub(zero, first)), max(second, sub(zero, second))));
      const V16 factor = set1(top > 1e-30f ? 127.0f / top : 0.0f);
      const V16 q1 = round(mul(first, factor)), q2 = round(mul(second, factor));
      int8_t* q = out.q + t * out.k + b * kBytesGroup;
      store_bytes(q, q1);
      store_bytes(q + kLanes, q2);
      // Whole numbers: exact.
      const int32_t sum1 = static_cast<int32_t>(sum(q1)), sum2 = static_cast<int32_t>(sum(q2));
      const int64_t at = t * blocks + b;
      out.scale[at] = top > 1e-30f ? top / 127.0f : 0.0f;
      out.scaled_sum[at] = out.scale[at] * static_cast<float>(sum1 + sum2);
      int32_t* start = out.start + at * groups;
      start[0] = -kByteBias * (groups == 1 ? sum1 + sum2 : sum1);
      if (groups == 2) start[1] = -kByteBias * sum2;
    }
  }
}

// Sixteen rows of a weight, from some byte of theirs on. A last panel that is not full repeats its
// last row: its columns are computed and not stored.
template <bool kFull>
struct Rows {
  const uint8_t* p;
  int64_t stride, last;

  const uint8_t* operator()(int r) const { return p + (kFull || r < last ? r : last) * stride; }
  Rows from(int64_t bytes) const { return {p + bytes, stride, last}; }
};

// sink(i, columns) for each 16 bytes of [begin, begin + bytes) of the rows; what lies beyond counts
// as zeros and is not touched: the file may end there.
template <class Row, class Sink>
inline void each_piece(const Row& row, int64_t begin, int64_t bytes, const Sink& sink) {
  I16 columns[4];
  int64_t at = 0;
  for (; at + 16 <= bytes; at += 16) {
    load_columns(row.from(begin + at), columns);
    sink(at / 16, columns);
  }
  if (at == bytes) return;
  uint8_t rest[16][16] = {};
  for (int r = 0; r < 16; ++r) {
    memcpy(rest[r], row(r) + begin + at, static_cast<size_t>(bytes - at));
  }
  load_columns(Rows<true>{rest[0], 16, 15}, columns);
  sink(at / 16, columns);
}

// The layouts' blocks of one panel: `kBlock` elements of K, and how each format gets there.

struct FloatPanel {
  static constexpr int kBlock = 128;
  using Layout = FloatLayout;
  alignas(64) float w[kBlock * kLanes];  // [K][16]
};

struct Bf16Panel {
  static constexpr int kBlock = 256;
  using Layout = Bf16Layout;
  alignas(64) uint16_t w[kBlock * kLanes];  // [K / 2][16][2]
};

struct F32Rows {
  using Panel = FloatPanel;
  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    each_piece(row, 4 * k, 4 * count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 4; ++j) store(out.w + (4 * i + j) * kLanes, as_floats(c[j]));
    });
  }
};

struct F16Rows {
  using Panel = FloatPanel;
  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    each_piece(row, 2 * k, 2 * count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 4; ++j) {
        store(out.w + (8 * i + 2 * j) * kLanes, from_f16(c[j]));
        store(out.w + (8 * i + 2 * j + 1) * kLanes, from_f16(shift_right(c[j], 16)));
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
  using Panel = FloatPanel;
  template <class Row>
  static void expand(const Row& row, const Matmul& m, int64_t panel, int64_t k, int64_t count,
                     Panel& out) {
    static_assert(Panel::kBlock == kScaleBlock);
    const V16 scale =
        set1(m.scales[panel * kLanes / kScaleBlock * div_up(m.k, kScaleBlock) + k / kScaleBlock]);
    each_piece(row, k, count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 4; ++j) {
        for (int b = 0; b < 4; ++b) {
          store(out.w + (16 * i + 4 * j + b) * kLanes, from_f8(shift_right(c[j], 8 * b), scale));
        }
      }
    });
  }
};

struct Bf16Rows {
  using Panel = Bf16Panel;
  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    each_piece(row, 2 * k, 2 * count, [&](int64_t i, const I16(&c)[4]) {
      for (int j = 0; j < 4; ++j) store(out.w + (4 * i + j) * 2 * kLanes, c[j]);
    });
  }
};

template <int kGroup, bool kMinima>
struct ByteLayout;

template <int kGroup, bool kMinima>
struct BytePanel {
  static constexpr int kBlock = 512;
  using Layout = ByteLayout<kGroup, kMinima>;
  alignas(64) uint8_t w[kBlock * kLanes];             // [K / 4][16][4], plus kByteBias
  alignas(64) float scale[kBlock / kGroup * kLanes];  // [K / group][16]
  alignas(64) float minus[kMinima ? kBlock / kGroup * kLanes : 1];  // -minimum, likewise

  // Four elements, from the element `k` of the block on.
  void put(int64_t k, I16 four) { store(w + k * kLanes, four); }
};

template <int kGroup, bool kMinima>
struct ByteLayout {
  static constexpr int kRows = kByteTileRows;

  template <int kRows, int kPanels>
  static void multiply(const Matmul& m, const Block& block, int64_t row,
                       V16 (&acc)[kRows][kPanels]) {
    const ByteRows& x = m.bytes;
    const auto* panels = reinterpret_cast<const BytePanel<kGroup, kMinima>*>(block.w);
    const int8_t* q = x.q + row * x.k + block.k;
    const int64_t scales = x.k / kBytesGroup, starts = x.k / kGroup;
    for (int64_t g = 0; g < block.count / kGroup; ++g) {
      I16 sum[kRows][kPanels];
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const I16 start = set1_int(x.start[(row + r) * starts + block.k / kGroup + g]);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) sum[r][p] = start;
      }
#pragma GCC unroll 8
      for (int64_t i = 0; i < kGroup; i += 4) {
        I16 b[kPanels];
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) b[p] = load_int(panels[p].w + (g * kGroup + i) * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, q + r * x.k + g * kGroup + i, sizeof four);
#pragma GCC unroll 8
          for (int p = 0; p < kPanels; ++p) sum[r][p] = dot4(sum[r][p], b[p], four);
        }
      }
      const int64_t at = (block.k + g * kGroup) / kBytesGroup;
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        const V16 scale = load(panels[p].scale + g * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const V16 both = mul(scale, set1(x.scale[(row + r) * scales + at]));
          acc[r][p] = fma(to_float(sum[r][p]), both, acc[r][p]);
          if constexpr (kMinima) {
            acc[r][p] = fma(load(panels[p].minus + g * kLanes),
                            set1(x.scaled_sum[(row + r) * scales + at]), acc[r][p]);
          }
        }
      }
    }
  }
};

inline int32_t four_bytes(int byte) {
  return static_cast<int32_t>(static_cast<uint32_t>(byte & 0xff) * 0x01010101u);
}

// The block formats are described in tensor/quant.h.

struct Q8_0Rows {
  using Panel = BytePanel<32, false>;
  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    const I16 bias = set1_int(four_bytes(kByteBias));
    for (int64_t e = 0; e < count; e += 32) {
      const int64_t at = (k + e) / 32 * 34;
      store(out.scale + e / 32 * kLanes, load_f16_column(row.from(at)));
      each_piece(row, at + 2, 32, [&](int64_t i, const I16(&c)[4]) {
        for (int j = 0; j < 4; ++j) {
          out.put(e + 16 * i + 4 * j, kByteBias == 0 ? c[j] : add_bytes(c[j], bias));
        }
      });
    }
  }
};

constexpr uint32_t kNibbles = 0x0f0f0f0f;

struct Q4_0Rows {
  using Panel = BytePanel<32, false>;
  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    const I16 bias = set1_int(four_bytes(kByteBias - 8));
    for (int64_t e = 0; e < count; e += 32) {
      const int64_t at = (k + e) / 32 * 18;
      store(out.scale + e / 32 * kLanes, load_f16_column(row.from(at)));
      each_piece(row, at + 2, 16, [&](int64_t, const I16(&c)[4]) {
        for (int j = 0; j < 4; ++j) {
          out.put(e + 4 * j, add_bytes(bit_and(c[j], kNibbles), bias));
          out.put(e + 16 + 4 * j, add_bytes(bit_and(shift_right(c[j], 4), kNibbles), bias));
        }
      });
    }
  }
};

struct Q4_KRows {
  using Panel = BytePanel<32, true>;

  // The scales and minima of 256 elements, from the block's first 16 bytes: d, dmin, 12 packed.
  static void expand_scales(const I16 (&head)[4], float* scale, float* minus) {
    const V16 d = from_f16(head[0]), dmin = from_f16(shift_right(head[0], 16));
    for (int j = 0; j < 8; ++j) {
      I16 s, m;
      if (j < 4) {
        s = bit_and(shift_right(head[1], 8 * j), 63);
        m = bit_and(shift_right(head[2], 8 * j), 63);
      } else {
        const int at = 8 * (j - 4);
        s = bit_or(bit_and(shift_right(head[3], at), 15),
                   shift_left(bit_and(shift_right(head[1], at + 6), 3), 4));
        m = bit_or(bit_and(shift_right(head[3], at + 4), 15),
                   shift_left(bit_and(shift_right(head[2], at + 6), 3), 4));
      }
      store(scale + j * kLanes, mul(d, to_float(s)));
      store(minus + j * kLanes, sub(set1(0.0f), mul(dmin, to_float(m))));
    }
  }

  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    const I16 bias = set1_int(four_bytes(kByteBias));
    for (int64_t e = 0; e < count; e += 256) {
      const int64_t at = (k + e) / 256 * 144;
      I16 head[4];
      load_columns(row.from(at), head);
      expand_scales(head, out.scale + e / 32 * kLanes, out.minus + e / 32 * kLanes);
      each_piece(row, at + 16, 128, [&](int64_t i, const I16(&c)[4]) {
        const int64_t first = e + i / 2 * 64 + i % 2 * 16;
        for (int j = 0; j < 4; ++j) {
          out.put(first + 4 * j, add_bytes(bit_and(c[j], kNibbles), bias));
          out.put(first + 32 + 4 * j, add_bytes(bit_and(shift_right(c[j], 4), kNibbles), bias));
        }
      });
    }
  }
};

struct Q6_KRows {
  using Panel = BytePanel<16, false>;
  template <class Row>
  static void expand(const Row& row, const Matmul&, int64_t, int64_t k, int64_t count, Panel& out) {
    const I16 bias = set1_int(four_bytes(kByteBias - 32));
    for (int64_t e = 0; e < count; e += 256) {
      const int64_t at = (k + e) / 256 * 210;
      const V16 d = load_f16_column(row.from(at + 208));
      I16 s[4];
      load_columns(row.from(at + 192), s);
      for (int j = 0; j < 16; ++j) {
        const I16 scale = shift_right_signed(shift_left(s[j / 4], 24 - 8 * (j % 4)), 24);
        store(out.scale + (e / 16 + j) * kLanes, mul(d, to_float(scale)));
      }
      for (int64_t half = 0; half < 2; ++half) {
        for (int64_t i = 0; i < 32; i += 16) {
          I16 first[4], second[4], upper[4];
          load_columns(row.from(at + 64 * half + i), first);
          load_columns(row.from(at + 64 * half + 32 + i), second);
          load_columns(row.from(at + 128 + 32 * half + i), upper);
          for (int c = 0; c < 4; ++c) {
            for (int j = 0; j < 4; ++j) {
              const I16 low = shift_right(c % 2 ? second[j] : first[j], 4 * (c / 2));
              const I16 high = bit_and(shift_right(upper[j], 2 * c), 0x03030303);
              const I16 q = bit_or(bit_and(low, kNibbles), shift_left(high, 4));
              out.put(e + 128 * half + 32 * c + i + 4 * j, add_bytes(q, bias));
            }
          }
        }
      }
    }
  }
};

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
  using Panel = typename Format::Panel;
  Panel panels[kTilePanels];
  alignas(64) float partial[kMappedRows * kTilePanels * kLanes];
  for (int64_t panel = panel_begin; panel < panel_end; panel += kTilePanels) {
    const bool whole = panel + kTilePanels <= panel_end;
    for (int64_t k = 0; k < m.k; k += Panel::kBlock) {
      const int64_t count = m.k - k < Panel::kBlock ? m.k - k : Panel::kBlock;
      for (int p = 0; p < (whole ? kTilePanels : 1); ++p) {
        const int64_t first = (panel + p) * kLanes, width = m.n - first;
        const uint8_t* w = m.w + first * m.row_bytes;
        if (width >= kLanes) {
          Format::expand(Rows<true>{w, m.row_bytes, 15}, m, panel + p, k, count, panels[p]);
        } else {
          Format::expand(Rows<false>{w, m.row_bytes, width - 1}, m, panel + p, k, count, panels[p]);
        }
      }
      const Block block{reinterpret_cast<const char*>(panels),
                        sizeof(Panel),
                        k,
                        count,
                        k == 0,
                        k + count == m.k,
                        partial};
      if (whole) {
        pass_rows<typename Panel::Layout, kTilePanels>(m, block, row_begin, row_end, panel);
      } else {
        pass_rows<typename Panel::Layout, 1>(m, block, row_begin, row_end, panel);
      }
    }
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
