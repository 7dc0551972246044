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
// Sixteen bf16 in a row.
inline V16 load_bf16(const uint16_t* p) {
  R1_LANES(from_bf16(p[i]));
}
// Sixteen signed bytes.
inline V16 load_bytes(const int8_t* p) {
  R1_LANES(static_cast<float>(p[i]));
}
// Sixteen pairs of bf16: the first and the second of each pair, as floats.
inline V16 load_bf16_first(const uint16_t* p) {
  R1_LANES(from_bf16(p[2 * i]));
}
inline V16 load_bf16_second(const uint16_t* p) {
  R1_LANES(from_bf16(p[2 * i + 1]));
}
#undef R1_LANES

// --- sixteen 32-bit integers, or sixteen times four bytes ---

struct I16 {
  uint32_t v[16];
};

// What a stored byte exceeds the weight by: vpdpbusd wants its first operand unsigned.
constexpr int kByteBias = 0;

#define R1_LANES(expression)                          \
  I16 r;                                              \
  for (int i = 0; i < 16; ++i) r.v[i] = (expression); \
  return r

inline I16 load_int(const void* p) {
  I16 r;
  memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void store(void* p, I16 x) {
  memcpy(p, x.v, sizeof x.v);
}
inline I16 set1_int(int32_t x) {
  R1_LANES(static_cast<uint32_t>(x));
}
inline I16 bit_and(I16 x, uint32_t mask) {
  R1_LANES(x.v[i] & mask);
}
inline I16 bit_or(I16 x, I16 y) {
  R1_LANES(x.v[i] | y.v[i]);
}
inline I16 shift_left(I16 x, int n) {
  R1_LANES(x.v[i] << n);
}
inline I16 shift_right(I16 x, int n) {
  R1_LANES(x.v[i] >> n);
}
// Copies the sign.
inline I16 shift_right_signed(I16 x, int n) {
  R1_LANES(static_cast<uint32_t>(static_cast<int32_t>(x.v[i]) >> n));
}
inline I16 add(I16 x, I16 y) {
  R1_LANES(x.v[i] + y.v[i]);
}
// Byte by byte, without carries from one to the next.
inline I16 add_bytes(I16 x, I16 y) {
  R1_LANES(((x.v[i] & 0x7f7f7f7fu) + (y.v[i] & 0x7f7f7f7fu)) ^ ((x.v[i] ^ y.v[i]) & 0x80808080u));
}
inline uint32_t dot4(uint32_t sum, uint32_t w, uint32_t x) {
  for (int b = 0; b < 32; b += 8) {
    sum += static_cast<uint32_t>(static_cast<int8_t>(w >> b) * static_cast<int8_t>(x >> b));
  }
  return sum;
}
// sum + the dot product of each lane's four bytes with the four of x. x has no -128.
inline I16 dot4(I16 sum, I16 w, int32_t x) {
  R1_LANES(dot4(sum.v[i], w.v[i], static_cast<uint32_t>(x)));
}
#undef R1_LANES

inline V16 to_float(I16 x) {
  V16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(static_cast<int32_t>(x.v[i]));
  return r;
}
inline V16 as_floats(I16 x) {
  V16 r;
  memcpy(r.v, x.v, sizeof r.v);
  return r;
}
inline float from_f16(uint32_t bits) {
  const uint32_t sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;
  uint32_t wide;
  memcpy(&wide, &subnormal, sizeof wide);
  if (exponent > 0) wide = (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
  wide |= sign;
  float r;
  memcpy(&r, &wide, sizeof r);
  return r;
}
inline I16 as_ints(V16 x) {
  I16 r;
  memcpy(r.v, x.v, sizeof r.v);
  return r;
}
// The lower half of each lane as binary16.
inline V16 from_f16(I16 x) {
  V16 r;
  for (int i = 0; i < 16; ++i) r.v[i] = from_f16(x.v[i]);
  return r;
}
// Sixteen binary16 numbers.
inline V16 load_f16(const void* p) {
  uint16_t halves[16];
  uint32_t wide[16];
  memcpy(halves, p, sizeof halves);
  for (int i = 0; i < 16; ++i) wide[i] = halves[i];
  return from_f16(load_int(wide));
}
// The nearest integers as bytes; they must be in [-127, 127].
inline void store_bytes(int8_t* p, V16 x) {
  for (int i = 0; i < 16; ++i)
    p[i] = static_cast<int8_t>(static_cast<int32_t>(__builtin_rintf(x.v[i])));
}
// Sixteen bytes from each of sixteen rows, transposed: lane r of out[j] is dword j of row(r).
template <class Row>
inline void load_columns(const Row& row, I16 (&out)[4]) {
  for (int r = 0; r < 16; ++r) {
    uint32_t four[4];
    memcpy(four, row(r), sizeof four);
    for (int j = 0; j < 4; ++j) out[j].v[r] = four[j];
  }
}

}  // namespace
