// Tensors from one element type to another, piece by piece.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "io/tensor_source.h"
#include "package/gguf_model.h"

namespace r1 {

// A tensor to be written, and the tensors it is made of: one, or those of the experts, stacked.
struct TensorPlan {
  TensorSpec out;
  std::vector<std::string> parts;  // names in the source
  GgufName name = {};              // the layout: from Hugging Face's order to GGUF's
  std::vector<float> values = {};  // in place of parts
};

// The tensor's float32 block scales where it is float8 (DeepSeek-V3: NAME_scale_inv, one for each
// 128 x 128), else null. InputError if their shape does not fit.
const TensorInfo* block_scales(const TensorSource& source, const TensorInfo& tensor);

// Gives the bytes of a planned tensor to `sink` in order.
void copy_tensor(const TensorSource& source, const TensorPlan& plan, ThreadPool& pool,
                 const std::function<void(std::span<const std::byte>)>& sink);

}  // namespace r1
