// Sixteen float lanes as one AVX-512 register.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace {

struct V16 {
  __m512 v;
};

inline V16 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
inline void store(float* p, V16 x) {
  _mm512_storeu_ps(p, x.v);
}
inline V16 set1(float x) {
  return {_mm512_set1_ps(x)};
}
inline V16 fma(V16 x, V16 y, V16 z) {
  return {_mm512_fmadd_ps(x.v, y.v, z.v)};
}
inline V16 add(V16 x, V16 y) {
  return {_mm512_add_ps(x.v, y.v)};
}
inline V16 sub(V16 x, V16 y) {
  return {_mm512_sub_ps(x.v, y.v)};
}
inline V16 mul(V16 x, V16 y) {
  return {_mm512_mul_ps(x.v, y.v)};
}
inline V16 div(V16 x, V16 y) {
  return {_mm512_div_ps(x.v, y.v)};
}
inline V16 sqrt(V16 x) {
  return {_mm512_sqrt_ps(x.v)};
}
// x > y ? x : y, so y where either is NaN.
inline V16 max(V16 x, V16 y) {
  return {_mm512_max_ps(x.v, y.v)};
}
inline V16 min(V16 x, V16 y) {
  return {_mm512_min_ps(x.v, y.v)};
}
// Nearest integer, ties to even.
inline V16 round(V16 x) {
  return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// 2^x for integral x in [-126, 127].
inline V16 pow2(V16 x) {
  const __m512i n = _mm512_add_epi32(_mm512_cvtps_epi32(x.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(n, 23))};
}
// x < y ? then : otherwise
inline V16 select_less(V16 x, V16 y, V16 then, V16 otherwise) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ), otherwise.v, then.v)};
}
inline __mmask16 lane_mask(int64_t n) {
  return n <= 0 ? __mmask16{0} : n >= 16 ? __mmask16(0xffff) : __mmask16((1u << n) - 1);
}
// Lanes [0, n) of x, `rest` in the others.
inline V16 keep(V16 x, int64_t n, V16 rest) {
  return {_mm512_mask_blend_ps(lane_mask(n), rest.v, x.v)};
}
// The first n <= 16 elements, zeros after.
inline V16 load_n(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(lane_mask(n), p)};
}
inline void store_n(float* p, V16 x, int64_t n) {
  _mm512_mask_storeu_ps(p, lane_mask(n), x.v);
}
inline __m256 low_half(V16 x) {
  return _mm512_castps512_ps256(x.v);
}
inline __m256 high_half(V16 x) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x.v), 1));
}
// The tree: lanes i and i + 8, then + 4, + 2, + 1.
inline float sum(V16 x) {
  const __m256 eight = _mm256_add_ps(low_half(x), high_half(x));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float max_lane(V16 x) {
  const __m256 eight = _mm256_max_ps(low_half(x), high_half(x));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
// Sixteen bf16 in a row.
inline V16 load_bf16(const uint16_t* p) {
  const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  // One permutation that clears the lower halves, not a widening and a shift.
  const __m512i to_upper = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7,
                                            0, 6, 0, 5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
  return {_mm512_castsi512_ps(
      _mm512_maskz_permutexvar_epi16(0xaaaaaaaau, to_upper, _mm512_castsi256_si512(x)))};
}
// Sixteen signed bytes.
inline V16 load_bytes(const int8_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x))};
}
// Sixteen pairs of bf16: the first and the second of each pair, as floats.
inline V16 load_bf16_first(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
inline V16 load_bf16_second(const uint16_t* p) {
  return {_mm512_castsi512_ps(
      _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

// --- sixteen 32-bit integers, or sixteen times four bytes ---

struct I16 {
  __m512i v;
};

inline I16 load_int(const void* p) {
  return {_mm512_loadu_si512(p)};
}
inline void store(void* p, I16 x) {
  _mm512_storeu_si512(p, x.v);
}
inline I16 set1_int(int32_t x) {
  return {_mm512_set1_epi32(x)};
}
inline I16 bit_and(I16 x, uint32_t mask) {
  return {_mm512_and_si512(x.v, _mm512_set1_epi32(static_cast<int>(mask)))};
}
inline I16 bit_or(I16 x, I16 y) {
  return {_mm512_or_si512(x.v, y.v)};
}
inline I16 shift_left(I16 x, int n) {
  return {_mm512_slli_epi32(x.v, static_cast<unsigned>(n))};
}
inline I16 shift_right(I16 x, int n) {
  return {_mm512_srli_epi32(x.v, static_cast<unsigned>(n))};
}
// Copies the sign.
inline I16 shift_right_signed(I16 x, int n) {
  return {_mm512_srai_epi32(x.v, static_cast<unsigned>(n))};
}
inline I16 add(I16 x, I16 y) {
  return {_mm512_add_epi32(x.v, y.v)};
}
inline I16 add_bytes(I16 x, I16 y) {
  return {_mm512_add_epi8(x.v, y.v)};
}
#if defined(__AVX512VNNI__)
// What a stored byte exceeds the weight by: vpdpbusd wants its first operand unsigned.
constexpr int kByteBias = 128;
// sum + the dot product of each lane's four bytes with the four of x. x has no -128.
inline I16 dot4(I16 sum, I16 w, int32_t x) {
  return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(x))};
}
#else
constexpr int kByteBias = 0;
// |w| <= 128 and |x| <= 127, so that pairs of products fit in the 16 bits of vpmaddubsw.
inline I16 dot4(I16 sum, I16 w, int32_t x) {
  const __m512i four = _mm512_set1_epi32(x);
  const __m512i turned =
      _mm512_mask_sub_epi8(four, _mm512_movepi8_mask(w.v), _mm512_setzero_si512(), four);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w.v), turned);
  return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))};
}
#endif
inline V16 to_float(I16 x) {
  return {_mm512_cvtepi32_ps(x.v)};
}
inline V16 as_floats(I16 x) {
  return {_mm512_castsi512_ps(x.v)};
}
inline I16 as_ints(V16 x) {
  return {_mm512_castps_si512(x.v)};
}
// The lower half of each lane as binary16.
inline V16 from_f16(I16 x) {
  return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x.v))};
}
// Sixteen binary16 numbers.
inline V16 load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
// The nearest integers as bytes; they must be in [-127, 127].
inline void store_bytes(int8_t* p, V16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x.v)));
}
inline __m512i four_rows(const uint8_t* a, const uint8_t* b, const uint8_t* c, const uint8_t* d) {
  const auto load16 = [](const uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  };
  __m512i x = _mm512_castsi128_si512(load16(a));
  x = _mm512_inserti32x4(x, load16(b), 1);
  x = _mm512_inserti32x4(x, load16(c), 2);
  return _mm512_inserti32x4(x, load16(d), 3);
}
// Sixteen bytes from each of sixteen rows, transposed: lane r of out[j] is dword j of row(r).
template <class Row>
inline void load_columns(const Row& row, I16 (&out)[4]) {
  const __m512i a = four_rows(row(0), row(4), row(8), row(12));
  const __m512i b = four_rows(row(1), row(5), row(9), row(13));
  const __m512i c = four_rows(row(2), row(6), row(10), row(14));
  const __m512i d = four_rows(row(3), row(7), row(11), row(15));
  const __m512i ab = _mm512_unpacklo_epi32(a, b), ab2 = _mm512_unpackhi_epi32(a, b);
  const __m512i cd = _mm512_unpacklo_epi32(c, d), cd2 = _mm512_unpackhi_epi32(c, d);
  out[0].v = _mm512_unpacklo_epi64(ab, cd);
  out[1].v = _mm512_unpackhi_epi64(ab, cd);
  out[2].v = _mm512_unpacklo_epi64(ab2, cd2);
  out[3].v = _mm512_unpackhi_epi64(ab2, cd2);
}

// Sixteen dwords of eight rows, column by column: dword i of row(r) to out[8 i + r].
template <class Row>
inline void store_columns(const Row& row, float* out) {
  // Of each four rows: part m holds the columns m, 4 + m, 8 + m and 12 + m.
  __m512i parts[2][4];
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    const __m512i a = row(4 * h).v, b = row(4 * h + 1).v, c = row(4 * h + 2).v;
    const __m512i d = row(4 * h + 3).v;
    const __m512i ab = _mm512_unpacklo_epi32(a, b), ab2 = _mm512_unpackhi_epi32(a, b);
    const __m512i cd = _mm512_unpacklo_epi32(c, d), cd2 = _mm512_unpackhi_epi32(c, d);
    parts[h][0] = _mm512_unpacklo_epi64(ab, cd);
    parts[h][1] = _mm512_unpackhi_epi64(ab, cd);
    parts[h][2] = _mm512_unpacklo_epi64(ab2, cd2);
    parts[h][3] = _mm512_unpackhi_epi64(ab2, cd2);
  }
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
#pragma GCC unroll 4
  for (int m = 0; m < 4; ++m) {
    const V16 near = as_floats({_mm512_permutex2var_epi64(parts[0][m], first, parts[1][m])});
    const V16 far = as_floats({_mm512_permutex2var_epi64(parts[0][m], second, parts[1][m])});
    _mm256_storeu_ps(out + m * 8, low_half(near));
    _mm256_storeu_ps(out + (4 + m) * 8, high_half(near));
    _mm256_storeu_ps(out + (8 + m) * 8, low_half(far));
    _mm256_storeu_ps(out + (12 + m) * 8, high_half(far));
  }
}

}  // namespace
