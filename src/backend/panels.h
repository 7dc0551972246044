// How the backends of the host lay packed weights out (PackedWeight in ops.h): panels of kLanes
// output columns, the last padded with zeros, K walked in order inside a panel.
//
//   kF32:  data[panel][k][kLanes]
//   kBF16: data[panel][k / 2][kLanes][2]   (K padded to even with zeros)
#pragma once

#include <cstdint>

#include "backend/layout.h"
#include "tensor/dtype.h"

namespace r1 {

constexpr int64_t panels_of(int64_t n) {
  return (n + kLanes - 1) / kLanes;
}

constexpr int64_t panel_bytes(DType dtype, int64_t n, int64_t k) {
  return panels_of(n) * kLanes * (dtype == DType::kBF16 ? (k + 1) / 2 * 2 * 2 : k * 4);
}

}  // namespace r1
