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

// acc += x w over K for a tile of kRows rows and kPanels panels.
template <int kRows, int kPanels>
inline void multiply_f32(const float* x, int64_t xs, const void* weights, int64_t k,
                         V16 (&acc)[kRows][kPanels]) {
  const float* w = static_cast<const float*>(weights);
  for (int64_t i = 0; i < k; ++i) {
    V16 b[kPanels];
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) b[p] = load(w + (p * k + i) * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const V16 a = set1(x[r * xs + i]);
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) acc[r][p] = fma(a, b[p], acc[r][p]);
    }
  }
}

template <int kRows, int kPanels>
inline void multiply_bf16(const float* x, int64_t xs, const void* weights, int64_t k,
                          V16 (&acc)[kRows][kPanels]) {
  const uint16_t* w = static_cast<const uint16_t*>(weights);
  const int64_t pairs = div_up(k, 2);
  for (int64_t i = 0; i < pairs; ++i) {
#if R1_BF16_DOT
    __m512bh b[kPanels];
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      b[p] = (__m512bh)_mm512_loadu_si512(w + (p * pairs + i) * 2 * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      memcpy(&pair, x + r * xs + i, sizeof pair);
      const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) acc[r][p].v = _mm512_dpbf16_ps(acc[r][p].v, a, b[p]);
    }
#else
    V16 b[kPanels];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        const uint16_t* pair = w + (p * pairs + i) * 2 * kLanes;
        b[p] = half == 0 ? load_bf16_first(pair) : load_bf16_second(pair);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V16 a = set1(x[r * xs + 2 * i + half]);
#pragma GCC unroll 8
        for (int p = 0; p < kPanels; ++p) acc[r][p] = fma(a, b[p], acc[r][p]);
      }
    }
#endif
  }
}

template <bool kBf16, int kRows, int kPanels>
void product_tile(const Matmul& m, int64_t row, int64_t panel) {
  const int64_t panel_bytes = kLanes * (kBf16 ? div_up(m.k, 2) * 4 : m.k * 4);
  const void* w = static_cast<const char*>(m.w) + panel * panel_bytes;
  V16 acc[kRows][kPanels];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) acc[r][p] = set1(0.0f);
  }
  if constexpr (kBf16) {
    multiply_bf16<kRows, kPanels>(m.x + row * m.xs, m.xs, w, m.k, acc);
  } else {
    multiply_f32<kRows, kPanels>(m.x + row * m.xs, m.xs, w, m.k, acc);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      const int64_t column = (panel + p) * kLanes;
      const int64_t width = m.n - column < kLanes ? m.n - column : kLanes;
      float* out = m.out + (row + r) * m.os + column;
      V16 y = acc[r][p];
      if (width == kLanes) {
        if (m.bias) y = add(y, load(m.bias + column));
        if (m.add) y = add(load(out), y);
        store(out, y);
      } else {
        if (m.bias) y = add(y, load_n(m.bias + column, width));
        if (m.add) y = add(load_n(out, width), y);
        store_n(out, y, width);
      }
    }
  }
}

// All panels for kRows rows, kPanels at a time and the rest one by one.
template <bool kBf16, int kRows, int kPanels>
void product_rows(const Matmul& m, int64_t row, int64_t panel_begin, int64_t panel_end) {
  int64_t panel = panel_begin;
  for (; panel + kPanels <= panel_end; panel += kPanels) {
    product_tile<kBf16, kRows, kPanels>(m, row, panel);
  }
  for (; panel < panel_end; ++panel) product_tile<kBf16, kRows, 1>(m, row, panel);
}

// The rows left over after the full tiles, and decoding's few rows: fewer rows, more panels.
template <bool kBf16>
void product_few(const Matmul& m, int64_t row, int64_t rows, int64_t panel_begin,
                 int64_t panel_end) {
  while (rows > 0) {
    int64_t done = 1;
    if constexpr (kTileRows > 8) {
      if (rows >= 8) {
        product_rows<kBf16, 8, kTilePanels>(m, row, panel_begin, panel_end);
        done = 8;
      }
    }
    if (done == 1) {
      if (rows >= 4) {
        product_rows<kBf16, 4, kTilePanels>(m, row, panel_begin, panel_end);
        done = 4;
      } else if (rows >= 2) {
        product_rows<kBf16, 2, 2 * kTilePanels>(m, row, panel_begin, panel_end);
        done = 2;
      } else {
        product_rows<kBf16, 1, 4 * kTilePanels>(m, row, panel_begin, panel_end);
      }
    }
    row += done;
    rows -= done;
  }
}

template <bool kBf16>
void product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
             int64_t panel_end) {
  // A few panels stay in the first-level cache while all rows pass over them.
  const int64_t full = row_begin + (row_end - row_begin) / kTileRows * kTileRows;
  if (full > row_begin) {
    for (int64_t panel = panel_begin; panel < panel_end; panel += kTilePanels) {
      const int64_t end = panel + kTilePanels < panel_end ? panel + kTilePanels : panel_end;
      for (int64_t row = row_begin; row < full; row += kTileRows) {
        product_rows<kBf16, kTileRows, kTilePanels>(m, row, panel, end);
      }
    }
  }
  if (full < row_end) product_few<kBf16>(m, full, row_end - full, panel_begin, panel_end);
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

}  // namespace
