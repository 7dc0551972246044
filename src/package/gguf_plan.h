// What a model's tensors become in a GGUF file: decided here alone, for those who write it and for
// those who say how large it would be.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/tensor_source.h"
#include "model/config.h"
#include "package/gguf_model.h"
#include "package/tensor_copy.h"
#include "tensor/dtype.h"

namespace r1 {

// The type of a tensor of GGUF's `name` that is of type `in` where `wanted` is asked for (none: as
// it is). Vectors and what routes to experts stay float32; where 4 bits are wanted, the embedding
// and the head get 8; rows that are no whole number of blocks get Q8_0 or F16.
DType gguf_dtype(const std::string& name, std::span<const int64_t> shape, DType in,
                 const std::optional<DType>& wanted);

// The tensors of a GGUF file of this model: of `source`, under Hugging Face's names, those that
// GGUF has names for. InputError names `where` if GGUF has no name for the architecture, and the
// source if a tensor is of the wrong shape.
std::vector<TensorPlan> plan_gguf(const TensorSource& source, const ModelConfig& config,
                                  const std::string& where, const std::optional<DType>& wanted);

}  // namespace r1
