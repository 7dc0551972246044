// Keys and values one by one, as the backends of the host hold them on a page:
//
//   k[page][G][key_dim][kPageSize]      v[page][G][kPageSize][value_dim]
//
// Keys are transposed, so that a query meets 16 of them in one vector. In kI8 the scales of a
// head's kPageSize keys, and of its values, stand after them.
#pragma once

#include "backend/ops.h"

namespace r1 {

// A position's key or value of one head, on its page: element d is element first + d * step of
// `part`, the head's part of the page.
struct KvVector {
  KvType type;
  std::byte* part;
  int64_t dim, first, step;
  float* scale;  // kI8

  // Rounds x [dim] to the type. In kI8 a vector that is not finite reads as NaN.
  void write(const float* x) const;
  void read(float* x) const;
  // The bits of another one of the same type and size.
  void copy(const KvVector& from) const;
};

KvVector kv_key(const KvLayer& kv, int64_t page, int64_t head, int64_t slot);
KvVector kv_value(const KvLayer& kv, int64_t page, int64_t head, int64_t slot);  // not latent

}  // namespace r1
