// The tensors of a model, whatever files they come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace r1 {

// What a tensor will be in a file that is to be written.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  int64_t elements() const;
  size_t bytes() const { return dtype_bytes(dtype, elements()); }
};

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // empty for a scalar
  // Row-major, little-endian, in the mapped file: not necessarily aligned.
  std::span<const std::byte> bytes;

  int64_t elements() const {
    return static_cast<int64_t>(bytes.size() / dtype_block_bytes(dtype)) * dtype_block(dtype);
  }
};

// "[2, 3]", for messages.
std::string shape_text(std::span<const int64_t> shape);

// Writes the tensor's elements as float32 to `dst`, which has room for elements(). From the types
// of can_dequantize (quant.h); InputError for others.
void copy_to_f32(const TensorInfo& tensor, float* dst);

// Tensors by their Hugging Face names. They point into the mapped files and live as long as this
// object. Safe to read from several threads.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  // The folder or file they come from, for messages.
  virtual const std::string& where() const = 0;
  // Null if there is none of that name.
  virtual const TensorInfo* find(std::string_view name) const = 0;
  // In the order of the data.
  virtual const std::vector<TensorInfo>& tensors() const = 0;
};

}  // namespace r1
