// The input rows of a product, as its tiles read them.
//
// Rows lie as they are, or in groups of kRowGroup, the last of what is left over: in a group of R
// rows one dword of each (an element; of bf16, where there is a dot product, a pair of them) is
// followed by the next, so that a tile reads one stream or a few, whatever K is.
#pragma once

#include "backend/cpu/math.inl"

namespace {

// Lanes rounded to bf16 (to nearest, ties to even; NaN stays NaN), still floats.
#if R1_BF16_DOT
// Denormals become zeros, which is what vdpbf16ps takes them for.
inline V16 round_bf16(V16 x) {
  const __m256i halves = (__m256i)_mm512_cvtneps_pbh(x.v);
  return as_floats({_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)});
}
#else
inline V16 round_bf16(V16 x) {
  const I16 bits = as_ints(x);
  const I16 odd = bit_and(shift_right(bits, 16), 1);
  const V16 rounded = as_floats(add(add(bits, set1_int(0x7fff)), odd));
  const V16 nan = as_floats(bit_or(bits, set1_int(0x400000)));
  const V16 top = set1(__builtin_inff());
  const V16 r = select_less(x, top, rounded, select_less(sub(set1(0.0f), top), x, rounded, nan));
  return as_floats(bit_and(as_ints(r), 0xffff0000u));
}
#endif

// Lanes of bf16 numbers as pairs, `first` in the lower halves.
inline I16 bf16_pairs(V16 first, V16 second) {
  return bit_or(shift_right(as_ints(first), 16), as_ints(second));
}

// Calls f<rows>() for 1 to 8 rows.
template <class F>
inline void with_rows(int64_t rows, const F& f) {
  switch (rows) {
    case 1:
      return f.template operator()<1>();
    case 2:
      return f.template operator()<2>();
    case 3:
      return f.template operator()<3>();
    case 4:
      return f.template operator()<4>();
    case 5:
      return f.template operator()<5>();
    case 6:
      return f.template operator()<6>();
    case 7:
      return f.template operator()<7>();
    default:
      return f.template operator()<8>();
  }
}

constexpr int64_t group_dwords(bool bf16, int64_t k) {
  return !bf16 ? k : R1_BF16_DOT ? div_up(k, 2) : div_up(k, 2) * 2;
}

// Sixteen elements rounded to bf16, as group_rows keeps them.
inline void store_rounded(uint8_t* to, V16 x) {
#if R1_BF16_DOT
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(x.v));
#else
  store(reinterpret_cast<float*>(to), round_bf16(x));
#endif
}

#if defined(__AVX512F__)
// Sixteen dwords of a row as group_rows keeps them; so many elements from x on.
template <bool kBf16>
constexpr int64_t kElements = kBf16 ? (R1_BF16_DOT ? 32 : 16) : 16;

template <bool kBf16>
inline I16 sixteen_dwords(const float* x) {
#if R1_BF16_DOT
  if constexpr (kBf16) return {(__m512i)_mm512_cvtne2ps_pbh(load(x + kLanes).v, load(x).v)};
#endif
  return as_ints(kBf16 ? round_bf16(load(x)) : load(x));
}

// A group of eight rows, as far as they fill vectors: the elements that are done.
template <bool kBf16>
int64_t interleave_eight(const float* x, int64_t xs, int64_t k, float* out) {
  int64_t i = 0;
  for (; i + kElements<kBf16> <= k; i += kElements<kBf16>, out += 8 * kLanes) {
    store_columns([&](int r) { return sixteen_dwords<kBf16>(x + r * xs + i); }, out);
  }
  return i;
}
#endif

// A group: dword i of row r from row(r) + 4 i to out[i * kRows + r].
template <int kRows, class Row>
inline void interleave(const Row& row, int64_t dwords, float* out) {
  if constexpr (kRows == 1) {
    memcpy(out, row(0), static_cast<size_t>(dwords) * sizeof(float));
    return;
  }
  int64_t i = 0;
  for (; i + 4 <= dwords; i += 4) {
    I16 columns[4];
    load_columns([&](int r) { return row(r < kRows ? r : kRows - 1) + 4 * i; }, columns);
    for (int j = 0; j < 4; ++j) {
      float lanes[kLanes];
      store(lanes, as_floats(columns[j]));
      memcpy(out + (i + j) * kRows, lanes, kRows * sizeof(float));
    }
  }
  for (; i < dwords; ++i) {
    for (int r = 0; r < kRows; ++r) memcpy(out + i * kRows + r, row(r) + 4 * i, sizeof(float));
  }
}

void group_rows(bool bf16, const float* x, int64_t xs, int64_t rows, int64_t k, float* out,
                int64_t row_begin, int64_t row_end) {
  constexpr int64_t kSome = 256, kElement = R1_BF16_DOT ? 2 : 4, kBytes = kSome * kElement;
  alignas(64) uint8_t rounded[kRowGroup * kBytes];
  for (int64_t first = row_begin; first < row_end; first += kRowGroup) {
    const int64_t count = rows - first < kRowGroup ? rows - first : kRowGroup;
    const float* from = x + first * xs;
    float* to = out + first * group_dwords(bf16, k);
    int64_t done = 0;
#if defined(__AVX512F__)
    static_assert(kRowGroup == 8);
    if (count == kRowGroup) {
      done =
          bf16 ? interleave_eight<true>(from, xs, k, to) : interleave_eight<false>(from, xs, k, to);
      to += count * group_dwords(bf16, done);
    }
#endif
    const auto put = [&](const uint8_t* row0, int64_t stride, int64_t dwords) {
      with_rows(count, [&]<int kRows>() {
        if constexpr (kRows <= kRowGroup) {
          interleave<kRows>([&](int r) { return row0 + r * stride; }, dwords, to);
        }
      });
      to += count * dwords;
    };
    if (!bf16) {
      put(reinterpret_cast<const uint8_t*>(from + done), xs * 4, k - done);
      continue;
    }
    for (int64_t i = done; i < k; i += kSome) {
      const int64_t some = k - i < kSome ? k - i : kSome;
      for (int64_t r = 0; r < count; ++r) {
        for (int64_t c = 0; c < some; c += kLanes) {
          store_rounded(rounded + r * kBytes + c * kElement,
                        load_n(from + r * xs + i + c, lanes_left(some - c)));
        }
      }
      put(rounded, kBytes, group_dwords(true, some));
    }
  }
}

// The rows of a tile from element k on: at(r, i) is dword i of row r.

template <int kRows>
struct PlainRows {
  const float* x;
  int64_t stride;

  PlainRows(const Matmul& m, int64_t row, int64_t k) : x(m.x + row * m.xs + k), stride(m.xs) {}
  const float* at(int r, int64_t i) const { return x + r * stride + i; }
};

template <bool kBf16, int kRows>
struct GroupedRows {
  static_assert(kRows < kRowGroup || kRows % kRowGroup == 0);
  const float* x;
  int64_t step;   // from a dword to the next: the group's rows
  int64_t group;  // from a group to the next

  GroupedRows(const Matmul& m, int64_t row, int64_t k) {
    const int64_t first = row / kRowGroup * kRowGroup, dwords = group_dwords(kBf16, m.k);
    step = m.rows - first < kRowGroup ? m.rows - first : kRowGroup;
    group = kRowGroup * dwords;
    x = m.x + first * dwords + group_dwords(kBf16, k) * step + (row - first);
  }
  const float* at(int r, int64_t i) const {
    return x + r / kRowGroup * group + i * (kRows < kRowGroup ? step : kRowGroup) + r % kRowGroup;
  }
};

}  // namespace
