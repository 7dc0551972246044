// Element types as files hold them, and the conversions of the small floats. Activations are always
// float32; a DType is about weights and files.
//
// The last ones are GGUF's block formats (ggml): a run of elements of a row shares its scales and
// is stored as one block (quant.h). A row is a whole number of blocks.
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
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};
inline constexpr int kDTypeCount = 23;

// Elements of a block, and its bytes. A plain type's block is one element.
int64_t dtype_block(DType dtype);
size_t dtype_block_bytes(DType dtype);

// Bytes of `elements` elements, a whole number of blocks. The product must fit in 64 bits.
size_t dtype_bytes(DType dtype, int64_t elements);

// Bytes of one element of a plain type.
size_t dtype_size(DType dtype);

// The name in a safetensors header ("F32", "BF16", "F8_E4M3", "BOOL") or in GGUF's world ("Q4_K").
std::string_view dtype_name(DType dtype);

// The type of a name in a safetensors header: a plain one. Nothing for any other name.
std::optional<DType> find_dtype(std::string_view name);

// All names that find_dtype knows, for error messages: "BOOL, U8, ...".
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

// Rounds to nearest, ties to even; what is too large becomes infinity and a NaN stays one.
uint16_t f32_to_f16(float value);

// 8 bits, 4 of exponent and 3 of mantissa, without infinities (OCP OFP8 "E4M3", PyTorch's
// float8_e4m3fn): exact.
float f8e4m3_to_f32(uint8_t bits);

}  // namespace r1
