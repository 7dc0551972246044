#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace r1 {
namespace {

uint32_t bits_of(float x) {
  return __builtin_bit_cast(uint32_t, x);
}
float from_bits(uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

TEST(DType, NamesGoThereAndBack) {
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    const bool plain = dtype_block(dtype) == 1;  // what a safetensors header may hold
    EXPECT_EQ(find_dtype(dtype_name(dtype)), plain ? std::optional(dtype) : std::nullopt);
    EXPECT_EQ(dtype_names().find(dtype_name(dtype)) != std::string::npos, plain);
  }
  EXPECT_EQ(dtype_name(DType::kF8E4M3), "F8_E4M3");
  EXPECT_EQ(dtype_size(DType::kBF16), 2u);
  EXPECT_EQ(dtype_size(DType::kBool), 1u);
  EXPECT_EQ(dtype_size(DType::kI64), 8u);
  for (const char* name : {"", "f32", "F3", "F32 ", "FLOAT"}) EXPECT_FALSE(find_dtype(name));
}

TEST(DType, SizesOfBlocks) {
  EXPECT_EQ(dtype_bytes(DType::kBF16, 7), 14u);
  EXPECT_EQ(dtype_bytes(DType::kQ8_0, 64), 68u);    // 2 + 32 bytes a block
  EXPECT_EQ(dtype_bytes(DType::kQ4_0, 64), 36u);    // 2 + 16
  EXPECT_EQ(dtype_bytes(DType::kQ4_1, 64), 40u);    // 2 + 2 + 16
  EXPECT_EQ(dtype_bytes(DType::kQ5_0, 64), 44u);    // 2 + 4 + 16
  EXPECT_EQ(dtype_bytes(DType::kQ5_1, 64), 48u);    // 2 + 2 + 4 + 16
  EXPECT_EQ(dtype_bytes(DType::kQ5_K, 256), 176u);  // 2 + 2 + 12 + 32 + 128
  EXPECT_EQ(dtype_bytes(DType::kQ4_K, 256), 144u);  // 2 + 2 + 12 + 128
  EXPECT_EQ(dtype_bytes(DType::kQ6_K, 512), 420u);  // 128 + 64 + 16 + 2
  EXPECT_EQ(dtype_bytes(DType::kQ6_K, 0), 0u);
}

// Of every float that a bfloat16 pair encloses, the nearer end: checked at, and one unit in the
// last place to either side of, the middle of each pair, where the tie goes to the even one.
TEST(BFloat16, RoundsToNearestEven) {
  for (uint32_t high = 0; high < 0x10000; ++high) {
    if ((high & 0x7f80) == 0x7f80) continue;
    const auto low_end = static_cast<uint16_t>(high), high_end = static_cast<uint16_t>(high + 1);
    const uint32_t middle = high << 16 | 0x8000;
    EXPECT_EQ(f32_to_bf16(from_bits(middle - 0x8000)), low_end);
    ASSERT_EQ(f32_to_bf16(from_bits(middle - 1)), low_end);
    ASSERT_EQ(f32_to_bf16(from_bits(middle)), high & 1 ? high_end : low_end);
    ASSERT_EQ(f32_to_bf16(from_bits(middle + 1)), high_end);
  }
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(3.14159274f), 0x4049);
  EXPECT_EQ(f32_to_bf16(-0.0f), 0x8000);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(BFloat16, EveryValueComesBack) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const float x = bf16_to_f32(static_cast<uint16_t>(i));
    EXPECT_EQ(bits_of(x), i << 16);
    const bool signalling = (i & 0x7fff) > 0x7f80 && (i & 0x40) == 0;
    ASSERT_EQ(f32_to_bf16(x), signalling ? (i | 0x40) : i);
  }
}

// A NaN whose payload sits in the lower half alone would round to infinity.
TEST(BFloat16, NaNStaysNaN) {
  for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu, 0x7fc00000u}) {
    const float back = bf16_to_f32(f32_to_bf16(from_bits(bits)));
    EXPECT_TRUE(std::isnan(back));
    EXPECT_EQ(std::signbit(back), bits >> 31 == 1);
  }
}

// Against the definition of binary16: (-1)^s 2^(e-15) (1 + m/1024), and 2^-14 m/1024 for e = 0.
TEST(Float16, EveryValue) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const int e = static_cast<int>(i >> 10 & 31);
    const double m = (i & 0x3ff) / 1024.0, sign = i >> 15 ? -1 : 1;
    const float x = f16_to_f32(static_cast<uint16_t>(i));
    ASSERT_EQ(std::signbit(x), i >> 15 == 1);
    if (e == 31 && m != 0) {
      ASSERT_TRUE(std::isnan(x));
    } else if (e == 31) {
      ASSERT_TRUE(std::isinf(x));
    } else {
      ASSERT_EQ(x, sign * (e == 0 ? std::ldexp(m, -14) : std::ldexp(1 + m, e - 15)));
    }
  }
}

// As for bfloat16: around the middle of every pair of neighbours, subnormal ones included.
TEST(Float16, RoundsToNearestEven) {
  for (uint32_t i = 0; i < 0x7bff; ++i) {
    const auto low = static_cast<uint16_t>(i), high = static_cast<uint16_t>(i + 1);
    const float middle = (f16_to_f32(low) + f16_to_f32(high)) / 2;
    ASSERT_EQ(f32_to_f16(f16_to_f32(low)), low);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), low);
    ASSERT_EQ(f32_to_f16(middle), i & 1 ? high : low);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), high);
    ASSERT_EQ(f32_to_f16(-middle), (i & 1 ? high : low) | 0x8000);
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(f32_to_f16(1e-30f), 0);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
  for (const uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fffffffu}) {
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(from_bits(bits)))));
  }
}

// (-1)^s 2^(e-7) (1 + m/8), and 2^-6 m/8 for e = 0; all ones is NaN.
TEST(Float8E4M3, EveryValue) {
  for (uint32_t i = 0; i < 0x100; ++i) {
    const int e = static_cast<int>(i >> 3 & 15);
    const double m = (i & 7) / 8.0, sign = i >> 7 ? -1 : 1;
    const float x = f8e4m3_to_f32(static_cast<uint8_t>(i));
    ASSERT_EQ(std::signbit(x), i >> 7 == 1);
    if ((i & 0x7f) == 0x7f) {
      ASSERT_TRUE(std::isnan(x));
    } else {
      ASSERT_EQ(x, sign * (e == 0 ? std::ldexp(m, -6) : std::ldexp(1 + m, e - 7)));
    }
  }
  EXPECT_EQ(f8e4m3_to_f32(0x7e), 448.0f);
}

}  // namespace
}  // namespace r1
