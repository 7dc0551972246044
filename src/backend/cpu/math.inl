// What all kernels use, and exp for sixteen lanes, from fused multiply-adds alone: the same bits on
// every instruction set.
#pragma once

namespace {

// Lanes of the next vector where `left` elements are left.
constexpr int64_t lanes_left(int64_t left) {
  return left < kLanes ? left : kLanes;
}

// All lanes of a vector, where the compiler is to know it: whole loads and stores take less than
// masked ones, above all one after the other.
struct Whole {};
inline V16 load_n(const float* p, Whole) {
  return load(p);
}
inline void store_n(float* p, V16 x, Whole) {
  store(p, x);
}
inline V16 keep(V16 x, Whole, V16) {
  return x;
}

// Calls f(i, n) for each vector of [0, count): its first element, and Whole or how many are left.
template <class F>
inline void for_each_vector(int64_t count, F&& f) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) f(i, Whole{});
  if (i < count) f(i, count - i);
}

// e^x with a relative error under 2e-7 (rows_test.cc): x = n ln 2 + r, |r| <= ln 2 / 2, a
// polynomial in r (Cephes, expf), times 2^n. Below -87.3 the result is 0; above 88.3 it is that
// of 88.3.
inline V16 exp(V16 x) {
  const V16 low = set1(-87.3f);
  const V16 y = min(max(x, low), set1(88.3f));
  const V16 n = round(mul(y, set1(1.44269504088896341f)));
  V16 r = fma(n, set1(-0.693359375f), y);
  r = fma(n, set1(2.12194440e-4f), r);
  V16 p = set1(1.9875691500e-4f);
  p = fma(p, r, set1(1.3981999507e-3f));
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, mul(r, r), r);
  p = add(p, set1(1.0f));
  return select_less(x, low, set1(0.0f), mul(p, pow2(n)));
}

inline float exp(float x) {
  float lanes[kLanes];
  store(lanes, exp(set1(x)));
  return lanes[0];
}

inline V16 sigmoid(V16 x) {
  const V16 one = set1(1.0f);
  return div(one, add(one, exp(mul(x, set1(-1.0f)))));
}

// The logarithm of a sum: rounded from double, where every libm agrees to the last float bit but
// for ties within 1e-8 of a rounding boundary.
inline float log(float x) {
  return static_cast<float>(__builtin_log(static_cast<double>(x)));
}

}  // namespace
