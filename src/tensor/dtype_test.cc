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
    EXPECT_EQ(find_dtype(dtype_name(dtype)), dtype);
    EXPECT_NE(dtype_names().find(dtype_name(dtype)), std::string::npos);
  }
  EXPECT_EQ(dtype_name(DType::kF8E4M3), "F8_E4M3");
  EXPECT_EQ(dtype_size(DType::kBF16), 2u);
  EXPECT_EQ(dtype_size(DType::kBool), 1u);
  EXPECT_EQ(dtype_size(DType::kI64), 8u);
  for (const char* name : {"", "f32", "F3", "F32 ", "FLOAT"}) EXPECT_FALSE(find_dtype(name));
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

// Every bit pattern against the format's definition: (-1)^s 2^(e - 7) (1 + m / 8), or m 2^-9.
TEST(DType, F8E4M3IsExact) {
  for (int bits = 0; bits < 256; ++bits) {
    const float x = f8e4m3_to_f32(static_cast<uint8_t>(bits));
    const int exponent = bits >> 3 & 15, mantissa = bits & 7;
    if (exponent == 15 && mantissa == 7) {
      EXPECT_TRUE(std::isnan(x));
      continue;
    }
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 7 - 3);
    EXPECT_EQ(static_cast<double>(std::abs(x)), magnitude) << bits;
    EXPECT_EQ(std::signbit(x), bits >= 128);
  }
  EXPECT_EQ(f8e4m3_to_f32(0x7e), 448.0f);  // the largest
}

}  // namespace
}  // namespace r1
