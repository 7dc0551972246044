#include "io/tensor_source.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "tensor/quant.h"

namespace r1 {

std::string shape_text(std::span<const int64_t> shape) {
  constexpr size_t kShown = 8;
  std::string text = "[";
  for (size_t i = 0; i < std::min(shape.size(), kShown); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() > kShown ? ", ...]" : "]");
}

int64_t TensorSpec::elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

void copy_to_f32(const TensorInfo& tensor, float* dst) {
  if (!can_dequantize(tensor.dtype)) {
    throw InputError("tensor " + in_quotes(tensor.name) +
                     ": expected a type of numbers to compute" + " with (" + dequantizable_names() +
                     "), found " + std::string(dtype_name(tensor.dtype)));
  }
  dequantize(tensor.dtype, tensor.bytes.data(), tensor.elements(), dst);
}

}  // namespace r1
