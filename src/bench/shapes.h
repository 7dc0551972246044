// Shapes of published models by name, to time with random weights: the fields of their config.json.
#pragma once

#include <memory>
#include <string>

#include "base/rng.h"
#include "io/tensor_source.h"
#include "model/config.h"

namespace r1 {

// "qwen2.5-0.5b". InputError for an unknown name, with those that there are.
ModelConfig shape_config(const std::string& name);

// "qwen2.5-0.5b, r1-distill-qwen-1.5b, ..."
std::string shape_names();

// Random weights of a model in memory, matrices in `dtype`, as if mapped from a file. Where a row
// is no whole number of the type's blocks it is Q8_0, as llama.cpp falls back on a wider type.
std::shared_ptr<const TensorSource> random_files(const ModelConfig& config, DType dtype);

}  // namespace r1
