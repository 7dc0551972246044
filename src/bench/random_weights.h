// Weights to time with: any values do, but making many must be quick.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rng.h"
#include "tensor/dtype.h"

namespace r1 {

// Writes `rows` rows of `k` normal values of the given deviation in a type that can be written
// (quant.h). A few dozen rows are made and then repeated: choosing a block's scales is slow.
void random_rows(DType dtype, int64_t rows, int64_t k, double deviation, Rng& rng, std::byte* out);

}  // namespace r1
