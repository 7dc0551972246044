// Multiply-adds on registers alone: what `r1 bench` measures an op's share of.
#pragma once

#include "backend/cpu/math.inl"

namespace {

constexpr int kPeakChains = kTileRows * kTilePanels;

int64_t peak_f32(int64_t rounds, float* sink) {
  V16 acc[kPeakChains];
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) acc[i] = load(sink + i);
  const V16 a = set1(sink[0]), b = set1(sink[1]);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kPeakChains; ++i) acc[i] = fma(acc[i], a, b);
  }
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) store(sink, add(load(sink), acc[i]));
  return rounds * kPeakChains * kLanes * 2;
}

#if R1_BF16_DOT
int64_t peak_bf16(int64_t rounds, float* sink) {
  V16 acc[kPeakChains];
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) acc[i] = load(sink + i);
  const __m512bh a = (__m512bh)_mm512_loadu_si512(sink);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kPeakChains; ++i) acc[i].v = _mm512_dpbf16_ps(acc[i].v, a, a);
  }
#pragma GCC unroll 32
  for (int i = 0; i < kPeakChains; ++i) store(sink, add(load(sink), acc[i]));
  return rounds * kPeakChains * kLanes * 4;
}
#else
int64_t peak_bf16(int64_t rounds, float* sink) {
  return peak_f32(rounds, sink);
}
#endif

int64_t peak_int8(int64_t rounds, float* sink) {
  constexpr int kChains = 8;  // few, so that the compiler keeps them in registers
  I16 acc[kChains];
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) acc[i] = load_int(sink + i);
  int32_t x;
  memcpy(&x, sink, sizeof x);
  for (int64_t round = 0; round < rounds; ++round) {
    // The bytes are the sum's own: a loop over the same ones would be a multiplication.
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) acc[i] = dot4(acc[i], acc[i], x);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) store(sink, add(load(sink), to_float(acc[i])));
  return rounds * kChains * kLanes * 8;
}

}  // namespace
