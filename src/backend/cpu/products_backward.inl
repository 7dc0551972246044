// The gradients of a product's weight and bias.
//
// dw[n, k] += sum_t dout[t, n] x[t, k]: each element's chain goes on over the rows in order. Blocks
// of rows are copied into the layout of the tiles, kTileRows columns of dout by kTilePanels panels
// of x. In bf16 both are rounded on the way, and where there is a dot product of pairs, rows 2 i
// and 2 i + 1 are a pair.
#pragma once

#include "backend/cpu/products.inl"

namespace {

template <bool kBf16>
struct WeightRows {
  static constexpr int kRows = kBf16 && R1_BF16_DOT ? 2 : 1;  // of a step

  // [t / kRows][count] dwords from columns [0, count) of rows [0, rows).
  static void copy(const float* from, int64_t stride, int64_t rows, int64_t count, int64_t step,
                   float* to) {
    for (int64_t t = 0; t < rows; t += kRows, to += step) {
      V16 x = load_n(from + t * stride, count);
      if constexpr (kBf16) x = round_bf16(x);
      if constexpr (kRows == 2) {
        const bool pair = t + 1 < rows;
        x = as_floats(
            bf16_pairs(x, pair ? round_bf16(load_n(from + (t + 1) * stride, count)) : set1(0.0f)));
      }
      store_n(to, x, step < kLanes ? step : kLanes);
    }
  }

  // acc + the step's products.
  static V16 multiply(V16 acc, V16 x, const float* d) {
#if R1_BF16_DOT
    if constexpr (kBf16) {
      int32_t pair;
      memcpy(&pair, d, sizeof pair);
      return {_mm512_dpbf16_ps(acc.v, (__m512bh)_mm512_set1_epi32(pair),
                               (__m512bh)_mm512_castps_si512(x.v))};
    }
#endif
    return fma(set1(*d), x, acc);
  }
};

// What is copied at a time: steps of the columns of dout, and of so many panels of x; by some rows
// of all of them, so that what is read follows itself in memory.
constexpr int64_t kWeightBlock = 256, kWeightPanels = 8, kWeightRows = 8;

// dw[n + r, 16 panel + c] over `steps` steps of a block: d is [steps][kRows], x
// [kPanels][steps][16].
// Not inlined: the sums need all vector registers, which the callers' numbers would else take.
template <bool kBf16, int kRows, int kPanels>
[[gnu::noinline]] void weight_tile(const MatmulWeight& m, const float* d, const float* x,
                                   int64_t steps, int64_t n, int64_t panel) {
  const int64_t column = panel * kLanes;
  V16 acc[kRows][kPanels];
#pragma GCC unroll 24
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      const int64_t at = column + p * kLanes;
      acc[r][p] = load_n(m.dw + (n + r) * m.ws + at, lanes_left(m.k - at));
    }
  }
  for (int64_t t = 0; t < steps; ++t) {
    V16 b[kPanels];
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) b[p] = load(x + (p * kWeightBlock + t) * kLanes);
#pragma GCC unroll 24
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int p = 0; p < kPanels; ++p) {
        acc[r][p] = WeightRows<kBf16>::multiply(acc[r][p], b[p], d + t * kRows + r);
      }
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPanels; ++p) {
      const int64_t at = column + p * kLanes;
      store_n(m.dw + (n + r) * m.ws + at, acc[r][p], lanes_left(m.k - at));
    }
  }
}

// Calls f<columns>(n) for tiles that cover columns [begin, end) of dout.
template <class F>
void each_weight_tile(int64_t begin, int64_t end, const F& f) {
  int64_t n = begin;
  for (; n + kTileRows <= end; n += kTileRows) f.template operator()<kTileRows>(n);
  for (; n + 4 <= end; n += 4) f.template operator()<4>(n);
  for (; n < end; ++n) f.template operator()<1>(n);
}

template <bool kBf16>
void weight_product(const MatmulWeight& m, int64_t n_begin, int64_t n_end, int64_t panel_begin,
                    int64_t panel_end) {
  using Step = WeightRows<kBf16>;
  constexpr int64_t kRows = kWeightBlock * Step::kRows;
  alignas(64) float x[kWeightPanels * kWeightBlock * kLanes], d[kWeightBlock * kWeightColumns];
  for (int64_t row = 0; row < m.rows; row += kRows) {
    const int64_t rows = m.rows - row < kRows ? m.rows - row : kRows;
    const int64_t steps = div_up(rows, Step::kRows);
    const auto some_rows = [&](const auto& copy) {
      for (int64_t t = 0; t < rows; t += kWeightRows) {
        copy(t, rows - t < kWeightRows ? rows - t : kWeightRows, t / Step::kRows);
      }
    };
    some_rows([&](int64_t t, int64_t count, int64_t step) {
      each_weight_tile(n_begin, n_end, [&]<int kColumns>(int64_t n) {
        Step::copy(m.dout + (row + t) * m.ds + n, m.ds, count, kColumns, kColumns,
                   d + (n - n_begin) * kWeightBlock + step * kColumns);
      });
    });
    for (int64_t first = panel_begin; first < panel_end; first += kWeightPanels) {
      const int64_t end = panel_end - first < kWeightPanels ? panel_end : first + kWeightPanels;
      some_rows([&](int64_t t, int64_t count, int64_t step) {
        for (int64_t panel = first; panel < end; ++panel) {
          const int64_t column = panel * kLanes;
          Step::copy(m.x + (row + t) * m.xs + column, m.xs, count, lanes_left(m.k - column), kLanes,
                     x + ((panel - first) * kWeightBlock + step) * kLanes);
        }
      });
      int64_t panel = first;
      const auto tiles = [&]<int kPanels>() {
        for (; panel + kPanels <= end; panel += kPanels) {
          const float* b = x + (panel - first) * kWeightBlock * kLanes;
          each_weight_tile(n_begin, n_end, [&]<int kColumns>(int64_t n) {
            weight_tile<kBf16, kColumns, kPanels>(m, d + (n - n_begin) * kWeightBlock, b, steps, n,
                                                  panel);
          });
        }
      };
      tiles.template operator()<kTilePanels>();
      if constexpr (kTilePanels > 1) tiles.template operator()<1>();
    }
  }
}

void matmul_weight(const MatmulWeight& m, int64_t n_begin, int64_t n_end, int64_t panel_begin,
                   int64_t panel_end) {
  auto* product = m.bf16 ? weight_product<true> : weight_product<false>;
  product(m, n_begin, n_end, panel_begin, panel_end);
}

void column_sums(const float* x, int64_t xs, int64_t rows, float* out, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; c += kLanes) {
    const int64_t width = lanes_left(end - c);
    V16 acc = load_n(out + c, width);
    for (int64_t t = 0; t < rows; ++t) acc = add(acc, load_n(x + t * xs + c, width));
    store_n(out + c, acc, width);
  }
}

}  // namespace
