#include "bench/random_weights.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "tensor/quant.h"

namespace r1 {

void random_rows(DType dtype, int64_t rows, int64_t k, double deviation, Rng& rng, std::byte* out) {
  constexpr int64_t kDistinct = 32;
  const size_t row_bytes = dtype_bytes(dtype, k);
  std::vector<float> values(static_cast<size_t>(k));
  for (int64_t n = 0; n < rows; ++n) {
    std::byte* row = out + static_cast<size_t>(n) * row_bytes;
    if (n >= kDistinct) {
      std::memcpy(row, row - kDistinct * row_bytes, row_bytes);
      continue;
    }
    for (float& v : values) v = static_cast<float>(deviation * rng.normal());
    quantize(dtype, values.data(), k, row);
  }
}

}  // namespace r1
