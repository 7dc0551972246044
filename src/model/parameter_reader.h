// A parameter's values out of a model's files.
#pragma once

#include <vector>

#include "io/tensor_source.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace r1 {

// The tensor that a part of a parameter is read from. InputError unless it is there with the shape
// that the config asks for and a type that can be read (quant.h); matrices alone may be in blocks,
// or in F8_E4M3 with scales.
const TensorInfo& part_tensor(const TensorSource& files, const ParameterSpec& spec,
                              const ParameterSpec::Part& part);

// A parameter's values [rows, cols], its parts stacked by rows. Float8 matrices are multiplied by
// the scales of their blocks of 128 x 128, NAME_scale_inv, as DeepSeek-V3 is published (DeepSeek-V3
// technical report, section 3.3).
void read_parameter(const TensorSource& files, const ParameterSpec& spec, float* out);
// The same into the memory of `ops`.
void read_parameter(const TensorSource& files, const ParameterSpec& spec, Ops& ops, float* out);

// A matrix where it lies in the files, a weight a part. `copies` gets what ops cannot read there:
// the scales of float8 matrices, which files do not align, and everything where files are not in
// reach (Ops::adopt).
std::vector<MappedWeight> map_parameter(const TensorSource& files, const ParameterSpec& spec,
                                        Ops& ops, std::vector<Buffer>& copies);

}  // namespace r1
