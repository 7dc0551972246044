// Weights to and from the bytes that files hold them in: plain floats, and GGUF's block formats.
//
// The formats, and the rules that choose a block's scales, are ggml's (ggml-quants.c, the "_ref"
// functions): what quantize() writes is what llama.cpp writes. d and dmin are float16.
//
//   Q8_0  32 elements, 34 bytes:    d, q[32] int8                            w = d q
//   Q4_0  32 elements, 18 bytes:    d, 16 bytes of two q in 0..15            w = d (q - 8)
//         byte i holds elements i (low half) and i + 16 (high half)
//   Q4_K  256 elements, 144 bytes:  d, dmin, 8 scales and 8 minima of        w = (d s) q - dmin m
//         6 bits in 12 bytes, 128 bytes of two q in 0..15                    s, m of its 32
//         byte 32 g + i holds elements 64 g + i and 64 g + 32 + i
//   Q6_K  256 elements, 210 bytes:  128 bytes of low halves, 64 bytes of     w = (d s) (q - 32)
//         upper pairs of bits, 16 scales int8, d                             s of its 16
//         element 128 h + 32 c + i: half c / 2 of byte 64 h + 32 (c % 2) + i, pair c of 32 h + i
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tensor/dtype.h"

namespace r1 {

inline constexpr int64_t kSuperBlock = 256;  // elements of a block of the K formats

// Types that hold weights: F32, F16, BF16, F8_E4M3 and the block formats; all but F8_E4M3 can be
// written too.
bool can_dequantize(DType dtype);
bool can_quantize(DType dtype);
// "F32, F16, ...": all that can be read, for error messages.
std::string dequantizable_names();

// The values of `count` elements, a whole number of blocks, exactly as the format defines them (in
// float32). `blocks` need not be aligned. The type must be one that can_dequantize.
void dequantize(DType dtype, const std::byte* blocks, int64_t count, float* out);

// The inverse, to nearest. Values that are not finite make a block's scale so, or count as 0.
void quantize(DType dtype, const float* values, int64_t count, std::byte* out);

// Scale and minimum (0..63) of the j-th 32 elements of a Q4_K block, from its 12 bytes.
struct ScaleMin {
  int scale, min;
};
inline ScaleMin q4k_scale_min(const uint8_t* packed, int64_t j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4};
}

}  // namespace r1
