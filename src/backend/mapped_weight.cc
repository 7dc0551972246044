#include "backend/ops.h"
#include "tensor/quant.h"

namespace r1 {

void dequantize_row(const MappedWeight& w, int64_t n, float* out) {
  dequantize(w.dtype, w.data + n * w.row_bytes(), w.k, out);
  if (!w.scales) return;
  constexpr int64_t kBlock = MappedWeight::kScaleBlock;
  const float* scales = w.scales + n / kBlock * ((w.k + kBlock - 1) / kBlock);
  for (int64_t k = 0; k < w.k; ++k) out[k] *= scales[k / kBlock];
}

}  // namespace r1
