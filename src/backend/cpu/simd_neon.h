// Sixteen float lanes as four NEON registers (AArch64).
#pragma once

#include <arm_neon.h>
#include <stdint.h>

namespace {

struct V16 {
  float32x4_t v[4];
};

#define R1_LANES(expression)                         \
  V16 r;                                             \
  for (int i = 0; i < 4; ++i) r.v[i] = (expression); \
  return r

inline V16 load(const float* p) {
  R1_LANES(vld1q_f32(p + 4 * i));
}
inline void store(float* p, V16 x) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
}
inline V16 set1(float x) {
  R1_LANES(vdupq_n_f32(x));
}
inline V16 fma(V16 x, V16 y, V16 z) {
  R1_LANES(vfmaq_f32(z.v[i], x.v[i], y.v[i]));
}
inline V16 add(V16 x, V16 y) {
  R1_LANES(vaddq_f32(x.v[i], y.v[i]));
}
inline V16 sub(V16 x, V16 y) {
  R1_LANES(vsubq_f32(x.v[i], y.v[i]));
}
inline V16 mul(V16 x, V16 y) {
  R1_LANES(vmulq_f32(x.v[i], y.v[i]));
}
inline V16 div(V16 x, V16 y) {
  R1_LANES(vdivq_f32(x.v[i], y.v[i]));
}
inline V16 sqrt(V16 x) {
  R1_LANES(vsqrtq_f32(x.v[i]));
}
// x > y ? x : y, so y where either is NaN.
inline V16 max(V16 x, V16 y) {
  R1_LANES(vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]));
}
inline V16 min(V16 x, V16 y) {
  R1_LANES(vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i]));
}
// Nearest integer, ties to even.
inline V16 round(V16 x) {
  R1_LANES(vrndnq_f32(x.v[i]));
}
// 2^x for integral x in [-126, 127].
inline V16 pow2(V16 x) {
  R1_LANES(
      vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(x.v[i]), vdupq_n_s32(127)), 23)));
}
// x < y ? then : otherwise
inline V16 select_less(V16 x, V16 y, V16 then, V16 otherwise) {
  R1_LANES(vbslq_f32(vcltq_f32(x.v[i], y.v[i]), then.v[i], otherwise.v[i]));
}
#undef R1_LANES

// Lanes [0, n) of x, `rest` in the others.
inline V16 keep(V16 x, int64_t n, V16 rest) {
  float a[16], b[16];
  store(a, x);
  store(b, rest);
  for (int i = 0; i < 16; ++i) a[i] = i < n ? a[i] : b[i];
  return load(a);
}
// The first n <= 16 elements, zeros after.
inline V16 load_n(const float* p, int64_t n) {
  float a[16] = {};
  for (int64_t i = 0; i < n; ++i) a[i] = p[i];
  return load(a);
}
inline void store_n(float* p, V16 x, int64_t n) {
  float a[16];
  store(a, x);
  for (int64_t i = 0; i < n; ++i) p[i] = a[i];
}
// The tree: lanes i and i + 8, then + 4, + 2, + 1.
inline float sum(V16 x) {
  const float32x4_t four = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float max_lane(V16 x) {
  return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.v[0], x.v[2]), vmaxq_f32(x.v[1], x.v[3])));
}
// Sixteen pairs of bf16: the first and the second of each pair, as floats.
inline V16 load_bf16_first(const uint16_t* p) {
  V16 r;
  for (int i = 0; i < 4; ++i) {
    r.v[i] = vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u16(vld1q_u16(p + 8 * i)), 16));
  }
  return r;
}
inline V16 load_bf16_second(const uint16_t* p) {
  V16 r;
  for (int i = 0; i < 4; ++i) {
    r.v[i] = vreinterpretq_f32_u32(
        vandq_u32(vreinterpretq_u32_u16(vld1q_u16(p + 8 * i)), vdupq_n_u32(0xffff0000u)));
  }
  return r;
}

}  // namespace
