// Matrix products: packing, the register tiles, and the weight's gradient.
//
// Each output element is one chain of fused multiply-adds that walks K in order. A tile computes
// kRows x (16 kPanels) of them in registers; which tile an element falls into changes how many
// chains run side by side, never a chain itself.

namespace {

inline float weight_at(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k) {
  return transpose ? w[k * ws + n] : w[n * ws + k];
}

void pack_f32(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k, float* out,
              int64_t panel_begin, int64_t panel_end) {
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    float* panel = out + p * k * kLanes;
    const int64_t width = n - p * kLanes < kLanes ? n - p * kLanes : kLanes;
    for (int64_t i = 0; i < k; ++i) {
      if (transpose) {
        store(panel + i * kLanes, load_n(w + i * ws + p * kLanes, width));
        continue;
      }
      for (int64_t c = 0; c < kLanes; ++c) {
        panel[i * kLanes + c] = c < width ? w[(p * kLanes + c) * ws + i] : 0.0f;
      }
    }
  }
}

// Round to nearest, ties to even; NaN stays NaN.
inline uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

void pack_bf16(const float* w, int64_t ws, bool transpose, int64_t n, int64_t k, uint16_t* out,
               int64_t panel_begin, int64_t panel_end) {
  const int64_t padded = div_up(k, 2) * 2;
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    uint16_t* panel = out + p * padded * kLanes;
    for (int64_t i = 0; i < padded; ++i) {
      for (int64_t c = 0; c < kLanes; ++c) {
        const int64_t column = p * kLanes + c;
        panel[i / 2 * 2 * kLanes + 2 * c + i % 2] =
            i < k && column < n ? to_bf16(weight_at(w, ws, transpose, column, i)) : uint16_t{0};
      }
    }
  }
}

#if R1_BF16_DOT
// Rows as pairs of bf16 in 32 bits: what vdpbf16ps broadcasts.
void round_rows(const float* x, int64_t xs, int64_t k, float* out, int64_t os, int64_t row_begin,
                int64_t row_end) {
  for (int64_t t = row_begin; t < row_end; ++t) {
    uint32_t* pairs = reinterpret_cast<uint32_t*>(out + t * os);
    for (int64_t i = 0; i < k; i += 2) {
      const uint32_t second = i + 1 < k ? to_bf16(x[t * xs + i + 1]) : 0;
      pairs[i / 2] = to_bf16(x[t * xs + i]) | second << 16;
    }
  }
}
#else
// Rows rounded to bf16, kept as floats; an odd K gets a zero.
void round_rows(const float* x, int64_t xs, int64_t k, float* out, int64_t os, int64_t row_begin,
                int64_t row_end) {
  for (int64_t t = row_begin; t < row_end; ++t) {
    for (int64_t i = 0; i < k; ++i) {
      const uint32_t bits = static_cast<uint32_t>(to_bf16(x[t * xs + i])) << 16;
      memcpy(out + t * os + i, &bits, sizeof bits);
    }
    if (k % 2) out[t * os + k] = 0.0f;
  }
}
#endif

// A block of K of some panels in the layout that a tile reads, and where the tile's sums come from
// and go to. Packed weights are one such block; mapped ones (products_mapped.inl) come in several, and the
// sums wait in `partial` between them: the chain is the same.
struct Block {
  const char* w;        // of the first panel
  int64_t panel_bytes;  // from one panel to the next
  int64_t k, count;     // elements [k, k + count) of K
  bool first, last;
  float* partial;  // [rows, 16 panels of a tile], of the tile's first row
};

// The layouts: what a tile's sums are made of. multiply() continues the chains `acc` of kRows rows
// and kPanels panels over one block.

struct FloatLayout {
  static constexpr int kRows = kTileRows;

  template <int kRows, int kPanels>
  static void multiply(const Matmul& m, const Block& block, int64_t row,
                       V16 (&acc)[kRows][kPanels]) {
    const float* x = m.x + row * m.xs + block.k;
    for (int64_t i = 0; i < block.count; ++i) {
      V16 b[kPanels];
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        b[p] = load(reinterpret_cast<const float*>(block.w + p * block.panel_bytes) + i * kLanes);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V16 a = set1(x[r * m.xs + i]);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) acc[r][p] = fma(a, b[p], acc[r][p]);
      }
    }
  }
};

struct Bf16Layout {
  static constexpr int kRows = kTileRows;

  template <int kRows, int kPanels>
  static void multiply(const Matmul& m, const Block& block, int64_t row,
                       V16 (&acc)[kRows][kPanels]) {
    const int64_t pairs = div_up(block.count, 2);
#if R1_BF16_DOT
    const float* x = m.x + row * m.xs + block.k / 2;
    for (int64_t i = 0; i < pairs; ++i) {
      __m512bh b[kPanels];
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        b[p] = (__m512bh)_mm512_loadu_si512(block.w + p * block.panel_bytes + i * 4 * kLanes);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        int32_t pair;
        memcpy(&pair, x + r * m.xs + i, sizeof pair);
        const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) acc[r][p].v = _mm512_dpbf16_ps(acc[r][p].v, a, b[p]);
      }
    }
#else
    const float* x = m.x + row * m.xs + block.k;
    for (int64_t i = 0; i < pairs; ++i) {
      V16 b[kPanels];
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) {
          const auto* pair =
              reinterpret_cast<const uint16_t*>(block.w + p * block.panel_bytes + i * 4 * kLanes);
          b[p] = half == 0 ? load_bf16_first(pair) : load_bf16_second(pair);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const V16 a = set1(x[r * m.xs + 2 * i + half]);
#pragma GCC unroll 8
          for (int p = 0; p < kPanels; ++p) acc[r][p] = fma(a, b[p], acc[r][p]);
        }
      }
    }
#endif
  }
};

// out = (add ? out : 0) + bias + acc, for one panel of one row.
inline void finish(const Matmul& m, int64_t row, int64_t panel, V16 acc) {
  const int64_t column = panel * kLanes;
  const int64_t width = m.n - column < kLanes ? m.n - column : kLanes;
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
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      acc[r][p] = block.first ? set1(0.0f) : load(block.partial + r * kPartialStride + p * kLanes);
    }
  }
  Layout::template multiply<kRows, kPanels>(m, block, row, acc);
#pragma GCC unroll 16
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

// A packed weight: whole panels, K in one block.
inline Block packed_block(const Matmul& m, int64_t panel) {
  const int64_t bytes = kLanes * (m.format == Format::kPackedBf16 ? div_up(m.k, 2) * 4 : m.k * 4);
  return {reinterpret_cast<const char*>(m.w) + panel * bytes, bytes, 0, m.k, true, true, nullptr};
}

// All panels for kRows rows, kPanels at a time and the rest one by one.
template <class Layout, int kRows, int kPanels>
void product_rows(const Matmul& m, int64_t row, int64_t panel_begin, int64_t panel_end) {
  int64_t panel = panel_begin;
  for (; panel + kPanels <= panel_end; panel += kPanels) {
    product_tile<Layout, kRows, kPanels>(m, packed_block(m, panel), row, panel);
  }
  for (; panel < panel_end; ++panel) {
    product_tile<Layout, kRows, 1>(m, packed_block(m, panel), row, panel);
  }
}

// The rows left over after the full tiles, and decoding's few rows: fewer rows, more panels.
template <class Layout>
void product_few(const Matmul& m, int64_t row, int64_t rows, int64_t panel_begin,
                 int64_t panel_end) {
  while (rows > 0) {
    int64_t done = 1;
    if constexpr (kTileRows > 8) {
      if (rows >= 8) {
        product_rows<Layout, 8, kTilePanels>(m, row, panel_begin, panel_end);
        done = 8;
      }
    }
    if (done == 1) {
      if (rows >= 4) {
        product_rows<Layout, 4, kTilePanels>(m, row, panel_begin, panel_end);
        done = 4;
      } else if (rows >= 2) {
        product_rows<Layout, 2, 2 * kTilePanels>(m, row, panel_begin, panel_end);
        done = 2;
      } else {
        product_rows<Layout, 1, 4 * kTilePanels>(m, row, panel_begin, panel_end);
      }
    }
    row += done;
    rows -= done;
  }
}

template <class Layout>
void packed_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                    int64_t panel_end) {
  // A few panels stay in the first-level cache while all rows pass over them.
  const int64_t full = row_begin + (row_end - row_begin) / kTileRows * kTileRows;
  if (full > row_begin) {
    for (int64_t panel = panel_begin; panel < panel_end; panel += kTilePanels) {
      const int64_t end = panel + kTilePanels < panel_end ? panel + kTilePanels : panel_end;
      for (int64_t row = row_begin; row < full; row += kTileRows) {
        product_rows<Layout, kTileRows, kTilePanels>(m, row, panel, end);
      }
    }
  }
  if (full < row_end) product_few<Layout>(m, full, row_end - full, panel_begin, panel_end);
}

// dw[n0 + r, 16 p ...] continues its chain over a block of rows. d is packed [rows][kRows], x
// [rows][16].
template <int kRows>
void weight_tile(const MatmulWeight& m, const float* d, const float* x, int64_t rows, int64_t n0,
                 int64_t panel) {
  const int64_t column = panel * kLanes;
  const int64_t width = m.k - column < kLanes ? m.k - column : kLanes;
  V16 acc[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) acc[r] = load_n(m.dw + (n0 + r) * m.ws + column, width);
  for (int64_t t = 0; t < rows; ++t) {
    const V16 b = load(x + t * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) acc[r] = fma(set1(d[t * kRows + r]), b, acc[r]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) store_n(m.dw + (n0 + r) * m.ws + column, acc[r], width);
}

void matmul_weight(const MatmulWeight& m, int64_t n_begin, int64_t n_end, int64_t panel_begin,
                   int64_t panel_end) {
  constexpr int64_t kBlock = 128;  // rows whose packed panels stay in the first-level cache
  float x[kBlock * kLanes], d[kBlock * kWeightColumns];
  const int64_t full = n_begin + (n_end - n_begin) / kWeightRows * kWeightRows;
  for (int64_t row = 0; row < m.rows; row += kBlock) {
    const int64_t rows = m.rows - row < kBlock ? m.rows - row : kBlock;
    for (int64_t n = n_begin; n < n_end;) {
      const int64_t width = n < full ? kWeightRows : 1;
      float* tile = d + (n - n_begin) * kBlock;
      for (int64_t t = 0; t < rows; ++t) {
        for (int64_t r = 0; r < width; ++r) tile[t * width + r] = m.dout[(row + t) * m.ds + n + r];
      }
      n += width;
    }
    for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
      const int64_t column = panel * kLanes;
      const int64_t width = m.k - column < kLanes ? m.k - column : kLanes;
      for (int64_t t = 0; t < rows; ++t) {
        store(x + t * kLanes, load_n(m.x + (row + t) * m.xs + column, width));
      }
      int64_t n = n_begin;
      for (; n < full; n += kWeightRows) {
        weight_tile<kWeightRows>(m, d + (n - n_begin) * kBlock, x, rows, n, panel);
      }
      for (; n < n_end; ++n) weight_tile<1>(m, d + (n - n_begin) * kBlock, x, rows, n, panel);
    }
  }
}

void column_sums(const float* x, int64_t xs, int64_t rows, float* out, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; c += kLanes) {
    const int64_t width = end - c < kLanes ? end - c : kLanes;
    V16 acc = load_n(out + c, width);
    for (int64_t t = 0; t < rows; ++t) acc = add(acc, load_n(x + t * xs + c, width));
    store_n(out + c, acc, width);
  }
}

constexpr int kPeakChains = kTileRows * kTilePanels;

int64_t peak_f32(int64_t rounds, float* sink) {
  V16 acc[kPeakChains];
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) acc[i] = load(sink + i);
  const V16 a = set1(sink[0]), b = set1(sink[1]);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kPeakChains; ++i) acc[i] = fma(acc[i], a, b);
  }
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) store(sink, add(load(sink), acc[i]));
  return rounds * kPeakChains * kLanes * 2;
}

#if R1_BF16_DOT
int64_t peak_bf16(int64_t rounds, float* sink) {
  V16 acc[kPeakChains];
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) acc[i] = load(sink + i);
  const __m512bh a = (__m512bh)_mm512_loadu_si512(sink);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kPeakChains; ++i) acc[i].v = _mm512_dpbf16_ps(acc[i].v, a, a);
  }
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) store(sink, add(load(sink), acc[i]));
  return rounds * kPeakChains * kLanes * 4;
}
#else
int64_t peak_bf16(int64_t rounds, float* sink) {
  return peak_f32(rounds, sink);
}
#endif

int64_t peak_int8(int64_t rounds, float* sink) {
  constexpr int kChains = 8;  // few, so that the compiler keeps them in registers
  I16 acc[kChains];
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) acc[i] = load_int(sink + i);
  int32_t x;
  memcpy(&x, sink, sizeof x);
  for (int64_t round = 0; round < rounds; ++round) {
    // The bytes are the sum's own: a loop over the same ones would be a multiplication.
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) acc[i] = dot4(acc[i], acc[i], x);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) store(sink, add(load(sink), to_float(acc[i])));
  return rounds * kChains * kLanes * 8;
}

}  // namespace
