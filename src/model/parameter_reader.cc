#include "model/parameter_reader.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/quant.h"

namespace r1 {
namespace {

constexpr int64_t kScaleBlock = MappedWeight::kScaleBlock;

int64_t scale_blocks(int64_t n) {
  return (n + kScaleBlock - 1) / kScaleBlock;
}

const TensorInfo& find_tensor(const TensorSource& files, const std::string& name,
                              const std::vector<int64_t>& shape) {
  const TensorInfo* t = files.find(name);
  if (!t) throw InputError(files.where() + ": tensor '" + name + "' is missing");
  if (t->shape != shape) {
    throw InputError(files.where() + ": tensor '" + name + "' has shape " + shape_text(t->shape) +
                     ", config.json asks for " + shape_text(shape));
  }
  return *t;
}

// The scales of a float8 matrix, one a block.
const TensorInfo& scales_of(const TensorSource& files, const ParameterSpec& spec,
                            const ParameterSpec::Part& part) {
  const TensorInfo& t = find_tensor(files, part.name + "_scale_inv",
                                    {scale_blocks(part.rows), scale_blocks(spec.cols)});
  if (t.dtype != DType::kF32) {
    throw InputError(files.where() + ": tensor '" + t.name + "' has dtype " +
                     std::string(dtype_name(t.dtype)) + ", expected F32");
  }
  return t;
}

void apply_scales(const TensorInfo& scales, int64_t rows, int64_t cols, float* w) {
  std::vector<float> factor(static_cast<size_t>(scales.elements()));
  copy_to_f32(scales, factor.data());
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = factor.data() + r / kScaleBlock * scale_blocks(cols);
    for (int64_t c = 0; c < cols; ++c) w[r * cols + c] *= row[c / kScaleBlock];
  }
}

}  // namespace

const TensorInfo& part_tensor(const TensorSource& files, const ParameterSpec& spec,
                              const ParameterSpec::Part& part) {
  const TensorInfo& t = find_tensor(
      files, part.name,
      spec.vector ? std::vector<int64_t>{part.rows} : std::vector<int64_t>{part.rows, spec.cols});
  const bool plain = t.dtype == DType::kF32 || t.dtype == DType::kF16 || t.dtype == DType::kBF16;
  const bool blocks = dtype_block(t.dtype) > 1 && can_dequantize(t.dtype) && !spec.vector;
  const bool float8 = t.dtype == DType::kF8E4M3 && !spec.vector;
  if (!plain && !blocks && !float8) {
    throw InputError(files.where() + ": tensor '" + part.name + "' has dtype " +
                     std::string(dtype_name(t.dtype)) + ", expected " +
                     (spec.vector ? "F32, F16 or BF16" : dequantizable_names()));
  }
  if (spec.cols % dtype_block(t.dtype) != 0) {
    throw InputError(files.where() + ": tensor '" + part.name + "' has rows of " +
                     std::to_string(spec.cols) + " elements, expected whole blocks of " +
                     std::to_string(dtype_block(t.dtype)) + " for " +
                     std::string(dtype_name(t.dtype)));
  }
  if (float8) scales_of(files, spec, part);
  return t;
}

void read_parameter(const TensorSource& files, const ParameterSpec& spec, float* out) {
  for (const auto& part : spec.parts) {
    const TensorInfo& t = part_tensor(files, spec, part);
    copy_to_f32(t, out);
    if (t.dtype == DType::kF8E4M3) {
      apply_scales(scales_of(files, spec, part), part.rows, spec.cols, out);
    }
    out += part.rows * spec.cols;
  }
}

void read_parameter(const TensorSource& files, const ParameterSpec& spec, Ops& ops, float* out) {
  std::vector<float> values(static_cast<size_t>(spec.size()));
  read_parameter(files, spec, values.data());
  ops.upload(values.data(), out, values.size() * sizeof(float));
}

std::vector<MappedWeight> map_parameter(const TensorSource& files, const ParameterSpec& spec,
                                        Ops& ops, std::vector<Buffer>& copies) {
  std::vector<MappedWeight> parts;
  for (const auto& part : spec.parts) {
    const TensorInfo& t = part_tensor(files, spec, part);
    Buffer copy;
    parts.push_back({t.dtype, part.rows, spec.cols, ops.adopt(t.bytes, copy)});
    if (copy.bytes() > 0) copies.push_back(std::move(copy));
    if (t.dtype != DType::kF8E4M3) continue;
    const TensorInfo& factors = scales_of(files, spec, part);
    std::vector<float> scales(static_cast<size_t>(factors.elements()));
    copy_to_f32(factors, scales.data());
    copies.push_back(Buffer::of_floats(factors.elements(), ops.memory()));
    ops.upload(scales.data(), copies.back().data(), copies.back().bytes());
    parts.back().scales = copies.back().floats();
  }
  return parts;
}

}  // namespace r1
