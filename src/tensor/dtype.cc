#include "tensor/dtype.h"

#include <array>

#include "base/error.h"

namespace r1 {
namespace {

struct Row {
  DType dtype;
  size_t size;
  std::string_view name;
};

// In the order of the enum.
constexpr std::array<Row, kDTypeCount> kRows = {{
    {DType::kBool, 1, "BOOL"},
    {DType::kU8, 1, "U8"},
    {DType::kI8, 1, "I8"},
    {DType::kF8E5M2, 1, "F8_E5M2"},
    {DType::kF8E4M3, 1, "F8_E4M3"},
    {DType::kI16, 2, "I16"},
    {DType::kU16, 2, "U16"},
    {DType::kF16, 2, "F16"},
    {DType::kBF16, 2, "BF16"},
    {DType::kI32, 4, "I32"},
    {DType::kU32, 4, "U32"},
    {DType::kF32, 4, "F32"},
    {DType::kF64, 8, "F64"},
    {DType::kI64, 8, "I64"},
    {DType::kU64, 8, "U64"},
}};

const Row& row(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  R1_CHECK(index < kRows.size() && kRows[index].dtype == dtype);
  return kRows[index];
}

}  // namespace

size_t dtype_size(DType dtype) {
  return row(dtype).size;
}

std::string_view dtype_name(DType dtype) {
  return row(dtype).name;
}

std::optional<DType> find_dtype(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.name == name) return r.dtype;
  }
  return std::nullopt;
}

std::string dtype_names() {
  std::string names;
  for (const Row& r : kRows) {
    if (!names.empty()) names += ", ";
    names += r.name;
  }
  return names;
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
  if (exponent == 0) {  // zero, or mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
  }
  // Infinity and NaN keep the exponent of all ones; the others move from bias 15 to bias 127.
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return __builtin_bit_cast(float, sign | wide << 23 | mantissa << 13);
}

float f8e4m3_to_f32(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80) << 24;
  const uint32_t exponent = bits >> 3 & 0xf, mantissa = bits & 7;
  if ((bits & 0x7f) == 0x7f) return __builtin_bit_cast(float, sign | 0x7fc00000u);
  if (exponent == 0) {  // zero, or mantissa * 2^-9
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
  }
  return __builtin_bit_cast(float, sign | (exponent + 120) << 23 | mantissa << 20);
}

}  // namespace r1
