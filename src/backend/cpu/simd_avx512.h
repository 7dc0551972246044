// Sixteen float lanes as one AVX-512 register.
#pragma once

#include <immintrin.h>
#include <stdint.h>

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
// Sixteen pairs of bf16: the first and the second of each pair, as floats.
inline V16 load_bf16_first(const uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
inline V16 load_bf16_second(const uint16_t* p) {
  return {_mm512_castsi512_ps(
      _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

}  // namespace
