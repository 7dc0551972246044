// A non-owning view of a float32 matrix: rows of `cols` elements, `stride` elements apart.
//
// Activations are always float32 and two-dimensional: T packed token rows, heads side by side in
// the columns. A column slice (q inside qkv) is a view with the same stride.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/error.h"

namespace r1 {

template <class T>
struct BasicTensor {
  T* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;

  BasicTensor() = default;
  BasicTensor(T* d, int64_t r, int64_t c) : data(d), rows(r), cols(c), stride(c) {}
  BasicTensor(T* d, int64_t r, int64_t c, int64_t s) : data(d), rows(r), cols(c), stride(s) {}
  // A view of const floats from a view of floats.
  template <class U>
  requires(std::is_const_v<T>&& std::is_same_v<std::remove_const_t<T>, U>)
      BasicTensor(const BasicTensor<U>& o)  // NOLINT: implicit by design
      : data(o.data), rows(o.rows), cols(o.cols), stride(o.stride) {}

  T* row(int64_t r) const { return data + r * stride; }
  bool empty() const { return rows == 0 || cols == 0; }

  BasicTensor slice_rows(int64_t begin, int64_t count) const {
    R1_CHECK(begin >= 0 && count >= 0 && begin + count <= rows);
    return {data + begin * stride, count, cols, stride};
  }
  BasicTensor slice_cols(int64_t begin, int64_t count) const {
    R1_CHECK(begin >= 0 && count >= 0 && begin + count <= cols);
    return {data + begin, rows, count, stride};
  }
};

using Tensor = BasicTensor<float>;
using ConstTensor = BasicTensor<const float>;

}  // namespace r1
