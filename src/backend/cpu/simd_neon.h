// Sixteen float lanes as four NEON registers (AArch64).
#pragma once

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

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
// Sixteen bf16 in a row.
inline V16 load_bf16(const uint16_t* p) {
  V16 r;
  for (int i = 0; i < 4; ++i) {
    r.v[i] = vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p + 4 * i)), 16));
  }
  return r;
}
// Sixteen signed bytes.
inline V16 load_bytes(const int8_t* p) {
  const int8x16_t x = vld1q_s8(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
           vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
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

// --- sixteen 32-bit integers, or sixteen times four bytes ---

struct I16 {
  uint32x4_t v[4];
};

// What a stored byte exceeds the weight by: vpdpbusd wants its first operand unsigned.
constexpr int kByteBias = 0;

#define R1_LANES(expression)                         \
  I16 r;                                             \
  for (int i = 0; i < 4; ++i) r.v[i] = (expression); \
  return r

inline I16 load_int(const void* p) {
  R1_LANES(vreinterpretq_u32_u8(vld1q_u8(static_cast<const uint8_t*>(p) + 16 * i)));
}
inline void store(void* p, I16 x) {
  for (int i = 0; i < 4; ++i) {
    vst1q_u8(static_cast<uint8_t*>(p) + 16 * i, vreinterpretq_u8_u32(x.v[i]));
  }
}
inline I16 set1_int(int32_t x) {
  R1_LANES(vdupq_n_u32(static_cast<uint32_t>(x)));
}
inline I16 bit_and(I16 x, uint32_t mask) {
  R1_LANES(vandq_u32(x.v[i], vdupq_n_u32(mask)));
}
inline I16 bit_or(I16 x, I16 y) {
  R1_LANES(vorrq_u32(x.v[i], y.v[i]));
}
inline I16 shift_left(I16 x, int n) {
  R1_LANES(vshlq_u32(x.v[i], vdupq_n_s32(n)));
}
inline I16 shift_right(I16 x, int n) {
  R1_LANES(vshlq_u32(x.v[i], vdupq_n_s32(-n)));
}
// Copies the sign.
inline I16 shift_right_signed(I16 x, int n) {
  R1_LANES(vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(x.v[i]), vdupq_n_s32(-n))));
}
inline I16 add(I16 x, I16 y) {
  R1_LANES(vaddq_u32(x.v[i], y.v[i]));
}
inline I16 add_bytes(I16 x, I16 y) {
  R1_LANES(
      vreinterpretq_u32_u8(vaddq_u8(vreinterpretq_u8_u32(x.v[i]), vreinterpretq_u8_u32(y.v[i]))));
}
inline uint32x4_t dot4(uint32x4_t sum, int8x16_t w, int8x16_t x) {
  const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x));
  const int16x8_t high = vmull_high_s8(w, x);
  const int32x4_t four = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
  return vaddq_u32(sum, vreinterpretq_u32_s32(four));
}
// sum + the dot product of each lane's four bytes with the four of x. x has no -128.
inline I16 dot4(I16 sum, I16 w, int32_t x) {
  const int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(x));
  R1_LANES(dot4(sum.v[i], vreinterpretq_s8_u32(w.v[i]), four));
}
#undef R1_LANES

inline V16 to_float(I16 x) {
  V16 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vcvtq_f32_s32(vreinterpretq_s32_u32(x.v[i]));
  return r;
}
inline V16 as_floats(I16 x) {
  V16 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vreinterpretq_f32_u32(x.v[i]);
  return r;
}
inline I16 as_ints(V16 x) {
  I16 r;
  for (int i = 0; i < 4; ++i) r.v[i] = vreinterpretq_u32_f32(x.v[i]);
  return r;
}
// The lower half of each lane as binary16.
inline V16 from_f16(I16 x) {
  V16 r;
  for (int i = 0; i < 4; ++i) {
    r.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(x.v[i])));
  }
  return r;
}
// Sixteen binary16 numbers.
inline V16 load_f16(const void* p) {
  V16 r;
  for (int i = 0; i < 4; ++i) {
    const uint8x8_t bytes = vld1_u8(static_cast<const uint8_t*>(p) + 8 * i);
    r.v[i] = vcvt_f32_f16(vreinterpret_f16_u8(bytes));
  }
  return r;
}
// The nearest integers as bytes; they must be in [-127, 127].
inline void store_bytes(int8_t* p, V16 x) {
  const auto narrow = [](float32x4_t y) { return vqmovn_s32(vcvtnq_s32_f32(y)); };
  const int16x8_t low = vcombine_s16(narrow(x.v[0]), narrow(x.v[1]));
  const int16x8_t high = vcombine_s16(narrow(x.v[2]), narrow(x.v[3]));
  vst1q_s8(p, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
}
// Sixteen bytes from each of sixteen rows, transposed: lane r of out[j] is dword j of row(r).
template <class Row>
inline void load_columns(const Row& row, I16 (&out)[4]) {
  for (int i = 0; i < 4; ++i) {
    const auto load16 = [&](int r) { return vreinterpretq_u64_u8(vld1q_u8(row(4 * i + r))); };
    const auto zip = [](uint64x2_t a, uint64x2_t b) {
      return vzipq_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b));
    };
    const uint32x4x2_t ab = zip(load16(0), load16(1)), cd = zip(load16(2), load16(3));
    for (int half = 0; half < 2; ++half) {
      out[2 * half].v[i] = vcombine_u32(vget_low_u32(ab.val[half]), vget_low_u32(cd.val[half]));
      out[2 * half + 1].v[i] =
          vcombine_u32(vget_high_u32(ab.val[half]), vget_high_u32(cd.val[half]));
    }
  }
}

}  // namespace
