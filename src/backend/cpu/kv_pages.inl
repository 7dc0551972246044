// A page of keys or values of any type, as floats.
#pragma once

#include "backend/cpu/math.inl"

namespace {

// Elements of keys, or of values, that are at hand as floats at a time.
constexpr int kColumns = 64;

constexpr int64_t element_bytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kBF16 ? 2 : 1;
}

// Sixteen elements of a page from the i-th on, in int8 yet to be scaled.
template <KvType kType>
inline V16 load_elements(const uint8_t* page, int64_t i) {
  if constexpr (kType == KvType::kF32) return load(reinterpret_cast<const float*>(page) + i);
  if constexpr (kType == KvType::kBF16)
    return load_bf16(reinterpret_cast<const uint16_t*>(page) + i);
  if constexpr (kType == KvType::kI8) return load_bytes(reinterpret_cast<const int8_t*>(page) + i);
}

// A page's keys, element by element, or its values, key by key, as floats; they have `dim`
// elements.
template <KvType kType>
struct Page {
  const uint8_t* at;
  int64_t dim;

  // Of int8, one a key.
  const float* scales() const { return reinterpret_cast<const float*>(at + dim * kPageSize); }
  V16 key_element(int64_t d) const {
    const V16 x = load_elements<kType>(at, d * kPageSize);
    return kType == KvType::kI8 ? mul(x, load(scales())) : x;
  }
  // Columns [c, c + 16) of the value of key j.
  V16 value_columns(int64_t j, int64_t c) const {
    return scaled(load_elements<kType>(at, j * dim + c), j);
  }
  V16 scaled(V16 x, int64_t j) const {
    return kType == KvType::kI8 ? mul(x, set1(scales()[j])) : x;
  }
};

// Calls f with the type of pages that are not float.
template <class F>
inline void with_narrow_type(KvType type, F&& f) {
  if (type == KvType::kBF16) {
    f.template operator()<KvType::kBF16>();
  } else {
    f.template operator()<KvType::kI8>();
  }
}

// Elements [begin, begin + count) of a page's keys, which have `dim`: where they lie, or in `room`.
inline const float* key_rows(KvType type, const uint8_t* page, int64_t dim, int64_t begin,
                             int64_t count, float* room) {
  if (type == KvType::kF32) return reinterpret_cast<const float*>(page) + begin * kPageSize;
  with_narrow_type(type, [&]<KvType kType>() {
    const Page<kType> from{page, dim};
    for (int64_t d = 0; d < count; ++d) store(room + d * kPageSize, from.key_element(begin + d));
  });
  return room;
}

// Columns [begin, begin + count) of a page's values, which have `dim`: where they lie, rows `dim`
// apart, or in `room`, rows kColumns apart.
inline const float* value_rows(KvType type, const uint8_t* page, int64_t dim, int64_t begin,
                               int64_t count, float* room) {
  if (type == KvType::kF32) return reinterpret_cast<const float*>(page) + begin;
  with_narrow_type(type, [&]<KvType kType>() {
    const Page<kType> from{page, dim};
    for (int64_t j = 0; j < kPageSize; ++j) {
      int64_t c = 0;
      for (; c + kLanes <= count; c += kLanes) {
        store(room + j * kColumns + c, from.value_columns(j, begin + c));
      }
      if (c == count) continue;
      // The last columns of a width that is no multiple of 16, without reading beyond the page.
      uint8_t last[kLanes * 4] = {};
      const int64_t bytes = element_bytes(kType);
      memcpy(last, page + (j * dim + begin + c) * bytes, static_cast<size_t>((count - c) * bytes));
      store(room + j * kColumns + c, from.scaled(load_elements<kType>(last, 0), j));
    }
  });
  return room;
}

// `columns` columns of sixteen elements as sixteen rows, `stride` apart, and back.
inline void page_to_rows(const float* in, int64_t columns, int64_t stride, float* out) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < kPageSize; ++r) out[r * stride + c] = in[c * kPageSize + r];
  }
}
inline void page_to_columns(const float* in, int64_t columns, int64_t stride, float* out) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t r = 0; r < kPageSize; ++r) out[c * kPageSize + r] = in[r * stride + c];
  }
}

}  // namespace
