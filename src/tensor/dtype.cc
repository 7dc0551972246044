#include "tensor/dtype.h"

#include <array>

#include "base/error.h"

namespace r1 {
namespace {

struct Row {
  DType dtype;
  int64_t block;
  size_t bytes;  // of a block
  std::string_view name;
};

// In the order of the enum.
constexpr std::array<Row, kDTypeCount> kRows = {{
    {DType::kBool, 1, 1, "BOOL"},      {DType::kU8, 1, 1, "U8"},
    {DType::kI8, 1, 1, "I8"},          {DType::kF8E5M2, 1, 1, "F8_E5M2"},
    {DType::kF8E4M3, 1, 1, "F8_E4M3"}, {DType::kI16, 1, 2, "I16"},
    {DType::kU16, 1, 2, "U16"},        {DType::kF16, 1, 2, "F16"},
    {DType::kBF16, 1, 2, "BF16"},      {DType::kI32, 1, 4, "I32"},
    {DType::kU32, 1, 4, "U32"},        {DType::kF32, 1, 4, "F32"},
    {DType::kF64, 1, 8, "F64"},        {DType::kI64, 1, 8, "I64"},
    {DType::kU64, 1, 8, "U64"},        {DType::kQ8_0, 32, 34, "Q8_0"},
    {DType::kQ4_0, 32, 18, "Q4_0"},    {DType::kQ4_1, 32, 20, "Q4_1"},
    {DType::kQ5_0, 32, 22, "Q5_0"},    {DType::kQ5_1, 32, 24, "Q5_1"},
    {DType::kQ4_K, 256, 144, "Q4_K"},  {DType::kQ5_K, 256, 176, "Q5_K"},
    {DType::kQ6_K, 256, 210, "Q6_K"},
}};

const Row& row(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  R1_CHECK(index < kRows.size() && kRows[index].dtype == dtype);
  return kRows[index];
}

}  // namespace

int64_t dtype_block(DType dtype) {
  return row(dtype).block;
}

size_t dtype_block_bytes(DType dtype) {
  return row(dtype).bytes;
}

size_t dtype_bytes(DType dtype, int64_t elements) {
  const Row& r = row(dtype);
  R1_CHECK(elements >= 0 && elements % r.block == 0);
  return static_cast<size_t>(elements / r.block) * r.bytes;
}

size_t dtype_size(DType dtype) {
  R1_CHECK(row(dtype).block == 1);
  return row(dtype).bytes;
}

std::string_view dtype_name(DType dtype) {
  return row(dtype).name;
}

std::optional<DType> find_dtype(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.block == 1 && r.name == name) return r.dtype;
  }
  return std::nullopt;
}

std::string dtype_names() {
  std::string names;
  for (const Row& r : kRows) {
    if (r.block > 1) continue;
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

uint16_t f32_to_f16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  uint32_t result;
  if (magnitude > 0x7f800000) {
    result = 0x7e00 | (magnitude >> 13 & 0x3ff);  // a quiet NaN
  } else if (magnitude >= 0x477ff000) {
    result = 0x7c00;  // from 65520, half a unit above the largest
  } else if (magnitude < 0x38800000) {
    // Below 2^-14 halves are the multiples of 2^-24: the unit in which 0.5 + x is rounded.
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    result = __builtin_bit_cast(uint32_t, shifted) - 0x3f000000;
  } else {
    result = (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
  }
  return static_cast<uint16_t>(sign | result);
}

float f8e4m3_to_f32(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80) << 24;
  const uint32_t exponent = bits >> 3 & 0xf, mantissa = bits & 7;
  if (exponent == 0) {  // zero, or mantissa * 2^-9
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
  }
  if (exponent == 15 && mantissa == 7) return __builtin_bit_cast(float, sign | 0x7fc00000);
  return __builtin_bit_cast(float, sign | (exponent + 120) << 23 | mantissa << 20);
}

}  // namespace r1
