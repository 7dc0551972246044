#include "io/tensor_source.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/json.h"

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

void copy_to_f32(const TensorInfo& tensor, float* dst) {
  const auto convert = [&](auto to_f32) {
    const auto count = static_cast<size_t>(tensor.elements());
    for (size_t i = 0; i < count; ++i) {
      uint16_t bits;
      std::memcpy(&bits, tensor.bytes.data() + 2 * i, sizeof bits);
      dst[i] = to_f32(bits);
    }
  };
  switch (tensor.dtype) {
    case DType::kF32:
      if (!tensor.bytes.empty()) std::memcpy(dst, tensor.bytes.data(), tensor.bytes.size());
      return;
    case DType::kF16:
      return convert([](uint16_t bits) { return f16_to_f32(bits); });
    case DType::kBF16:
      return convert([](uint16_t bits) { return bf16_to_f32(bits); });
    case DType::kF8E4M3:
      for (const std::byte bits : tensor.bytes) *dst++ = f8e4m3_to_f32(static_cast<uint8_t>(bits));
      return;
    default:
      throw InputError("tensor " + in_quotes(tensor.name) +
                       ": expected F32, F16, BF16 or F8_E4M3, found " +
                       std::string(dtype_name(tensor.dtype)));
  }
}

}  // namespace r1
