// Element types as files hold them, and the conversions of the 16-bit ones. Activations are always
// float32; a DType is about weights and files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace r1 {

enum class DType : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kF64,
  kI64,
  kU64,
};
inline constexpr int kDTypeCount = 15;

// Bytes of one element.
size_t dtype_size(DType dtype);

// The name in a safetensors header: "F32", "BF16", "F8_E4M3", "BOOL".
std::string_view dtype_name(DType dtype);

// The inverse; nothing for an unknown name.
std::optional<DType> find_dtype(std::string_view name);

// All names, for error messages: "BOOL, U8, ...".
std::string dtype_names();

// bfloat16 is the upper half of a float32: exact.
inline float bf16_to_f32(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

// Rounds to nearest, ties to even; what is too large becomes infinity. A NaN stays one, with its
// sign and the upper bits of its payload, made quiet.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

// IEEE binary16 to binary32: exact.
float f16_to_f32(uint16_t bits);

// OCP float8 E4M3 (4 bits of exponent, bias 7; no infinities, NaN is 0x7f and 0xff): exact.
float f8e4m3_to_f32(uint8_t bits);

}  // namespace r1
