#include "backend/kv_vector.h"

#include <algorithm>
#include <cmath>

namespace r1 {
namespace {

// Calls f(element of the page, d).
template <class T, class F>
void each(const KvVector& v, F&& f) {
  T* const p = reinterpret_cast<T*>(v.part) + v.first;
  for (int64_t d = 0; d < v.dim; ++d) f(p[d * v.step], d);
}

// To the nearest whole number, ties to even, where |x| < 2^22: the sum has no bits after the point.
float round_even(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (x + kShift) - kShift;
}

// As byte_rows of the products does it, but for a whole vector.
void write_bytes(const KvVector& v, const float* x) {
  float top = 0, poison = 0;  // NaN where an element is not finite
  for (int64_t d = 0; d < v.dim; ++d) {
    top = std::max(top, std::fabs(x[d]));
    poison += x[d] * 0.0f;
  }
  const bool tiny = !(top > 1e-30f), finite = poison == 0.0f;
  const float factor = tiny ? 0.0f : 127.0f / top;
  *v.scale = (tiny ? 0.0f : top / 127.0f) + poison;
  each<int8_t>(v, [&](int8_t& q, int64_t d) {
    q = finite ? static_cast<int8_t>(round_even(x[d] * factor)) : int8_t{0};
  });
}

KvVector vector_of(const KvLayer& kv, std::byte* part, int64_t dim, int64_t first, int64_t step,
                   int64_t slot) {
  float* const scales = reinterpret_cast<float*>(part + dim * kPageSize * kv.element_bytes());
  return {kv.type, part, dim, first, step, kv.type == KvType::kI8 ? scales + slot : nullptr};
}

}  // namespace

void KvVector::write(const float* x) const {
  switch (type) {
    case KvType::kF32:
      return each<float>(*this, [&](float& e, int64_t d) { e = x[d]; });
    case KvType::kBF16:
      return each<uint16_t>(*this, [&](uint16_t& e, int64_t d) { e = f32_to_bf16(x[d]); });
    case KvType::kI8:
      return write_bytes(*this, x);
  }
}

void KvVector::read(float* x) const {
  switch (type) {
    case KvType::kF32:
      return each<float>(*this, [&](float& e, int64_t d) { x[d] = e; });
    case KvType::kBF16:
      return each<uint16_t>(*this, [&](uint16_t& e, int64_t d) { x[d] = bf16_to_f32(e); });
    case KvType::kI8:
      return each<int8_t>(*this,
                          [&](int8_t& q, int64_t d) { x[d] = static_cast<float>(q) * *scale; });
  }
}

void KvVector::copy(const KvVector& from) const {
  const auto copy_as = [&]<class T>(T) {
    const T* const p = reinterpret_cast<const T*>(from.part) + from.first;
    each<T>(*this, [&](T& e, int64_t d) { e = p[d * from.step]; });
  };
  switch (type) {
    case KvType::kF32:
      return copy_as(float{});
    case KvType::kBF16:
      return copy_as(uint16_t{});
    case KvType::kI8:
      copy_as(int8_t{});
      *scale = *from.scale;
  }
}

KvVector kv_key(const KvLayer& kv, int64_t page, int64_t head, int64_t slot) {
  return vector_of(kv, kv.k_page(page, head), kv.key_dim, slot, kPageSize, slot);
}

KvVector kv_value(const KvLayer& kv, int64_t page, int64_t head, int64_t slot) {
  return vector_of(kv, kv.v_page(page, head), kv.value_dim, slot * kv.value_dim, 1, slot);
}

}  // namespace r1
