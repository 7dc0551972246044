// Sixteen float lanes as an array: runs anywhere, and says what the other files must compute.
#pragma once

#include <stdint.h>
#include <string.h>

namespace {

struct V16 {
  float v[16];
};

#define R1_LANES(expression)                          \
  V16 r;                                              \
  for (int i = 0; i < 16; ++i) r.v[i] = (expression); \
  return r

inline V16 load(const float* p) {
  R1_LANES(p[i]);
}
inline void store(float* p, V16 x) {
  memcpy(p, x.v, sizeof x.v);
}
inline V16 set1(float x) {
  R1_LANES(x);
}
inline V16 fma(V16 x, V16 y, V16 z) {
  R1_LANES(__builtin_fmaf(x.v[i], y.v[i], z.v[i]));
}
inline V16 add(V16 x, V16 y) {
  R1_LANES(x.v[i] + y.v[i]);
}
inline V16 sub(V16 x, V16 y) {
  R1_LANES(x.v[i] - y.v[i]);
}
inline V16 mul(V16 x, V16 y) {
  R1_LANES(x.v[i] * y.v[i]);
}
inline V16 div(V16 x, V16 y) {
  R1_LANES(x.v[i] / y.v[i]);
}
inline V16 sqrt(V16 x) {
  R1_LANES(__builtin_sqrtf(x.v[i]));
}
// x > y ? x : y, so y where either is NaN.
inline V16 max(V16 x, V16 y) {
  R1_LANES(x.v[i] > y.v[i] ? x.v[i] : y.v[i]);
}
inline V16 min(V16 x, V16 y) {
  R1_LANES(x.v[i] < y.v[i] ? x.v[i] : y.v[i]);
}
// Nearest integer, ties to even.
inline V16 round(V16 x) {
  R1_LANES(__builtin_rintf(x.v[i]));
}
inline float pow2(float x) {
  const int32_t bits = (static_cast<int32_t>(x) + 127) << 23;
  float r;
  memcpy(&r, &bits, sizeof r);
  return r;
}
// 2^x for integral x in [-126, 127].
inline V16 pow2(V16 x) {
  R1_LANES(pow2(x.v[i]));
}
// x < y ? then : otherwise
inline V16 select_less(V16 x, V16 y, V16 then, V16 otherwise) {
  R1_LANES(x.v[i] < y.v[i] ? then.v[i] : otherwise.v[i]);
}
// Lanes [0, n) of x, `rest` in the others.
inline V16 keep(V16 x, int64_t n, V16 rest) {
  R1_LANES(i < n ? x.v[i] : rest.v[i]);
}
// The first n <= 16 elements, zeros after.
inline V16 load_n(const float* p, int64_t n) {
  R1_LANES(i < n ? p[i] : 0.0f);
}
inline void store_n(float* p, V16 x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = x.v[i];
}
// The tree: lanes i and i + 8, then + 4, + 2, + 1.
inline float sum(V16 x) {
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) x.v[i] += x.v[i + step];
  }
  return x.v[0];
}
inline float max_lane(V16 x) {
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) x.v[i] = x.v[i] > x.v[i + step] ? x.v[i] : x.v[i + step];
  }
  return x.v[0];
}
inline float from_bf16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float r;
  memcpy(&r, &bits, sizeof r);
  return r;
}
// Sixteen pairs of bf16: the first and the second of each pair, as floats.
inline V16 load_bf16_first(const uint16_t* p) {
  R1_LANES(from_bf16(p[2 * i]));
}
inline V16 load_bf16_second(const uint16_t* p) {
  R1_LANES(from_bf16(p[2 * i + 1]));
}
#undef R1_LANES

}  // namespace
