// Weights to and from the bytes that files hold them in: plain floats, and GGUF's block formats.
//
// The formats, and the rules that choose a block's scales, are ggml's (ggml-quants.c, the "_ref"
// functions): what quantize() writes is what llama.cpp writes. d and dmin are float16.
//
//   Q8_0  32 elements, 34 bytes:    d, q[32] int8                            w = d q
//   Q4_0  32 elements, 18 bytes:    d, 16 bytes of two q in 0..15            w = d (q - 8)
//         byte i holds elements i (low half) and i + 16 (high half)
//   Q4_1  32 elements, 20 bytes:    d, m, 16 bytes as Q4_0                   w = d q + m
//   Q5_0  32 elements, 22 bytes:    d, bit i of 4 bytes is the fifth bit of  w = d (q - 16)
//         element i, 16 bytes as Q4_0
//   Q5_1  32 elements, 24 bytes:    d, m, 4 and 16 bytes as Q5_0             w = d q + m
//   Q4_K  256 elements, 144 bytes:  d, dmin, 8 scales and 8 minima of        w = (d s) q - dmin m
//         6 bits in 12 bytes, 128 bytes of two q in 0..15                    s, m of its 32
//         byte 32 g + i holds elements 64 g + i and 64 g + 32 + i
//   Q5_K  256 elements, 176 bytes:  as Q4_K, before the 128 bytes 32, of      as Q4_K
//         which bit g of byte i is the fifth bit of element 32 g + i
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

}  // namespace r1
