// Sixteen float lanes as two AVX registers.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace {

struct V16 {
  __m256 a, b;
};

inline V16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline void store(float* p, V16 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline V16 set1(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
inline V16 fma(V16 x, V16 y, V16 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline V16 add(V16 x, V16 y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
inline V16 sub(V16 x, V16 y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
inline V16 mul(V16 x, V16 y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
inline V16 div(V16 x, V16 y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
inline V16 sqrt(V16 x) {
  return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
// x > y ? x : y, so y where either is NaN.
inline V16 max(V16 x, V16 y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
inline V16 min(V16 x, V16 y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
// Nearest integer, ties to even.
inline V16 round(V16 x) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
inline __m256 pow2(__m256 x) {
  const __m256i n = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
// 2^x for integral x in [-126, 127].
inline V16 pow2(V16 x) {
  return {pow2(x.a), pow2(x.b)};
}
// x < y ? then : otherwise
inline V16 select_less(V16 x, V16 y, V16 then, V16 otherwise) {
  return {_mm256_blendv_ps(otherwise.a, then.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
          _mm256_blendv_ps(otherwise.b, then.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
inline __m256 lane_mask(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int count = n < 0 ? 0 : n > 8 ? 8 : static_cast<int>(n);
  return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane));
}
// Lanes [0, n) of x, `rest` in the others.
inline V16 keep(V16 x, int64_t n, V16 rest) {
  return {_mm256_blendv_ps(rest.a, x.a, lane_mask(n)),
          _mm256_blendv_ps(rest.b, x.b, lane_mask(n - 8))};
}
// The first n <= 16 elements, zeros after. Whole vectors take the plain path: masked stores are
// microcoded on AMD.
inline V16 load_n(const float* p, int64_t n) {
  if (n == 16) return load(p);
  return {_mm256_maskload_ps(p, _mm256_castps_si256(lane_mask(n))),
          n > 8 ? _mm256_maskload_ps(p + 8, _mm256_castps_si256(lane_mask(n - 8)))
                : _mm256_setzero_ps()};
}
inline void store_n(float* p, V16 x, int64_t n) {
  if (n == 16) return store(p, x);
  _mm256_maskstore_ps(p, _mm256_castps_si256(lane_mask(n)), x.a);
  if (n > 8) _mm256_maskstore_ps(p + 8, _mm256_castps_si256(lane_mask(n - 8)), x.b);
}
// The tree: lanes i and i + 8, then + 4, + 2, + 1.
inline float sum(V16 x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float max_lane(V16 x) {
  const __m256 eight = _mm256_max_ps(x.a, x.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
// Sixteen bf16 in a row.
inline V16 load_bf16(const uint16_t* p) {
  const auto widen = [](const uint16_t* eight) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(eight));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  };
  return {widen(p), widen(p + 8)};
}
// Sixteen signed bytes.
inline V16 load_bytes(const int8_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}
// Sixteen pairs of bf16: the first and the second of each pair, as floats.
inline V16 load_bf16_first(const uint16_t* p) {
  const __m256i* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(q), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_loadu_si256(q + 1), 16))};
}
inline V16 load_bf16_second(const uint16_t* p) {
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  const __m256i* q = reinterpret_cast<const __m256i*>(p);
  return {_mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(q), mask)),
          _mm256_castsi256_ps(_mm256_and_si256(_mm256_loadu_si256(q + 1), mask))};
}

// --- sixteen 32-bit integers, or sixteen times four bytes ---

struct I16 {
  __m256i a, b;
};

// What a stored byte exceeds the weight by: vpdpbusd wants its first operand unsigned.
constexpr int kByteBias = 0;

inline I16 load_int(const void* p) {
  const __m256i* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline void store(void* p, I16 x) {
  __m256i* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, x.a);
  _mm256_storeu_si256(q + 1, x.b);
}
inline I16 set1_int(int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {v, v};
}
inline I16 bit_and(I16 x, uint32_t mask) {
  const __m256i m = _mm256_set1_epi32(static_cast<int>(mask));
  return {_mm256_and_si256(x.a, m), _mm256_and_si256(x.b, m)};
}
inline I16 bit_or(I16 x, I16 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
inline I16 shift_left(I16 x, int n) {
  return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
inline I16 shift_right(I16 x, int n) {
  return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)};
}
// Copies the sign.
inline I16 shift_right_signed(I16 x, int n) {
  return {_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)};
}
inline I16 add(I16 x, I16 y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
inline I16 add_bytes(I16 x, I16 y) {
  return {_mm256_add_epi8(x.a, y.a), _mm256_add_epi8(x.b, y.b)};
}
// |w| <= 128 and |x| <= 127, so that pairs of products fit in the 16 bits of vpmaddubsw.
inline __m256i dot4(__m256i sum, __m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// sum + the dot product of each lane's four bytes with the four of x. x has no -128.
inline I16 dot4(I16 sum, I16 w, int32_t x) {
  const __m256i four = _mm256_set1_epi32(x);
  return {dot4(sum.a, w.a, four), dot4(sum.b, w.b, four)};
}
inline V16 to_float(I16 x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
inline V16 as_floats(I16 x) {
  return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
inline __m256 from_f16(__m256i x) {
  x = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
  return _mm256_cvtph_ps(
      _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}
inline I16 as_ints(V16 x) {
  return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
// The lower half of each lane as binary16.
inline V16 from_f16(I16 x) {
  return {from_f16(x.a), from_f16(x.b)};
}
// Sixteen binary16 numbers.
inline V16 load_f16(const void* p) {
  const __m128i* q = static_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
// The nearest integers as bytes; they must be in [-127, 127].
inline void store_bytes(int8_t* p, V16 x) {
  const auto narrow = [](__m256 y) {
    const __m256i n = _mm256_cvtps_epi32(y);
    return _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
  };
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(narrow(x.a), narrow(x.b)));
}
inline __m256i two_rows(const uint8_t* a, const uint8_t* b) {
  const auto load16 = [](const uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  };
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(a)), load16(b), 1);
}
template <class Row>
inline void load_eight_columns(const Row& row, int first, __m256i (&out)[4]) {
  const __m256i a = two_rows(row(first), row(first + 4));
  const __m256i b = two_rows(row(first + 1), row(first + 5));
  const __m256i c = two_rows(row(first + 2), row(first + 6));
  const __m256i d = two_rows(row(first + 3), row(first + 7));
  const __m256i ab = _mm256_unpacklo_epi32(a, b), ab2 = _mm256_unpackhi_epi32(a, b);
  const __m256i cd = _mm256_unpacklo_epi32(c, d), cd2 = _mm256_unpackhi_epi32(c, d);
  out[0] = _mm256_unpacklo_epi64(ab, cd);
  out[1] = _mm256_unpackhi_epi64(ab, cd);
  out[2] = _mm256_unpacklo_epi64(ab2, cd2);
  out[3] = _mm256_unpackhi_epi64(ab2, cd2);
}
// Sixteen bytes from each of sixteen rows, transposed: lane r of out[j] is dword j of row(r).
template <class Row>
inline void load_columns(const Row& row, I16 (&out)[4]) {
  __m256i a[4], b[4];
  load_eight_columns(row, 0, a);
  load_eight_columns(row, 8, b);
  for (int j = 0; j < 4; ++j) out[j] = {a[j], b[j]};
}

}  // namespace
