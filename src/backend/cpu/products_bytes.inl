// Products of bytes: rows of the input rounded to whole numbers, and the sinks
// (products_mapped.inl) of block formats.
//
// Sums of products of bytes are exact, so only the chain of multiply-adds over groups remains to be
// kept in order:
//   acc = fma(float(sum q w), weight scale * row scale, acc)     group by group
//   acc = fma(-minimum, row scale * sum q, acc)                  after each group that has minima
#pragma once

#include "backend/cpu/products.inl"

namespace {

constexpr int kBytesGroup = 32;  // elements of a row of x that share a scale

// What a stored byte exceeds the weight by: the formats keep it unsigned, and so does Q8_0 where
// the instruction set wants it.
constexpr int byte_bias(Format format) {
  switch (format) {
    case Format::kQ8_0:
      return kByteBias;
    case Format::kQ4_0:
      return 8;
    case Format::kQ6_K:
      return 32;
    default:
      return 0;
  }
}

// Rows of x to bytes: scale = max |x| / 127 over 32 elements, q = x * (127 / max |x|), to nearest,
// ties to even. Below 1e-30 everything is zero: the factor would overflow.
void byte_rows(Format format, const float* x, int64_t xs, const ByteRows& out, int64_t row_begin,
               int64_t row_end) {
  const int64_t blocks = out.k / kBytesGroup, groups = kBytesGroup / out.group;
  const int bias = byte_bias(format);
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
      start[0] = -bias * (groups == 1 ? sum1 + sum2 : sum1);
      if (groups == 2) start[1] = -bias * sum2;
    }
  }
}

template <int kGroup, bool kMinima>
struct ByteLayout;

// A block of K for the register tiles.
template <int kGroupSize, bool kHasMinima>
struct BytePanel {
  static constexpr int kBlock = 512, kGroup = kGroupSize;
  static constexpr bool kMinima = kHasMinima;
  using Layout = ByteLayout<kGroup, kMinima>;
  alignas(64) uint8_t w[kBlock * kLanes];                            // [K / 4][16][4]
  alignas(64) float scales[kBlock / kGroup * kLanes];                // [K / group][16]
  alignas(64) float minima[kMinima ? kBlock / kGroup * kLanes : 1];  // likewise, negated

  void put_bytes(int64_t k, const I16 (&four)[4]) {
    for (int j = 0; j < 4; ++j) store(w + (k + 4 * j) * kLanes, four[j]);
  }
  void scale(int64_t g, V16 x) { store(scales + g * kLanes, x); }
  void minus(int64_t g, V16 x) { store(minima + g * kLanes, x); }
};

// The chains of a few rows. Groups may fill side by side; they end in order.
template <int kGroup, bool kMinima, int kRows>
struct ByteChain {
  static constexpr int64_t kBlock = 256;
  const ByteRows& x;
  int64_t row;
  V16 acc[kRows];
  const int8_t* q;
  I16 sums[kBlock / kGroup][kRows];
  V16 scales[kBlock / kGroup], minima[kMinima ? kBlock / kGroup : 1];

  ByteChain(const Matmul& m, int64_t first) : x(m.bytes), row(first) {
    for (V16& a : acc) a = set1(0.0f);
  }
  void begin(int64_t k) {
    q = x.q + row * x.k + k;
    const int64_t left = (x.k - k) / kGroup,
                  groups = left < kBlock / kGroup ? left : kBlock / kGroup;
    for (int64_t g = 0; g < groups; ++g) {
      for (int r = 0; r < kRows; ++r) {
        sums[g][r] = set1_int(x.start[((row + r) * x.k + k) / kGroup + g]);
      }
    }
  }
  void put_bytes(int64_t k, const I16 (&four)[4]) {
    for (int r = 0; r < kRows; ++r) {
      I16 sum = sums[k / kGroup][r];
      for (int j = 0; j < 4; ++j) {
        int32_t bytes;
        memcpy(&bytes, q + r * x.k + k + 4 * j, sizeof bytes);
        sum = dot4(sum, four[j], bytes);
      }
      sums[k / kGroup][r] = sum;
    }
  }
  void scale(int64_t g, V16 s) { scales[g] = s; }
  void minus(int64_t g, V16 s) { minima[g] = s; }
  void end(int64_t k) {
    const int64_t left = (x.k - k) / kGroup,
                  groups = left < kBlock / kGroup ? left : kBlock / kGroup;
    for (int r = 0; r < kRows; ++r) {
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t at = ((row + r) * x.k + k + g * kGroup) / kBytesGroup;
        acc[r] = fma(to_float(sums[g][r]), mul(scales[g], set1(x.scale[at])), acc[r]);
        if constexpr (kMinima) acc[r] = fma(minima[g], set1(x.scaled_sum[at]), acc[r]);
      }
    }
  }
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
        const V16 scale = load(panels[p].scales + g * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const V16 both = mul(scale, set1(x.scale[(row + r) * scales + at]));
          acc[r][p] = fma(to_float(sum[r][p]), both, acc[r][p]);
          if constexpr (kMinima) {
            acc[r][p] = fma(load(panels[p].minima + g * kLanes),
                            set1(x.scaled_sum[(row + r) * scales + at]), acc[r][p]);
          }
        }
      }
    }
  }
};

}  // namespace
