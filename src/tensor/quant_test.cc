#include "tensor/quant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/files.h"
#include "base/rng.h"

namespace r1 {
namespace {

constexpr DType kBlockTypes[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                 DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

std::string fixture(const std::string& name) {
  return read_file(std::filesystem::path(R1_SOURCE_DIR) / "tests/fixtures/quant" / name);
}

std::vector<float> floats(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> read(DType dtype, const std::string& blocks) {
  const auto count = static_cast<int64_t>(blocks.size() / dtype_block_bytes(dtype));
  std::vector<float> values(static_cast<size_t>(count * dtype_block(dtype)));
  dequantize(dtype, reinterpret_cast<const std::byte*>(blocks.data()),
             static_cast<int64_t>(values.size()), values.data());
  return values;
}

std::string write(DType dtype, const std::vector<float>& values) {
  std::string blocks(dtype_bytes(dtype, static_cast<int64_t>(values.size())), '\0');
  quantize(dtype, values.data(), static_cast<int64_t>(values.size()),
           reinterpret_cast<std::byte*>(blocks.data()));
  return blocks;
}

std::string hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// Blocks put together by hand from the format. d = 0.5 is 0x3800, dmin = 0.25 is 0x3400.
TEST(Quant, BlocksByHand) {
  std::string q8 = hex("0038") + std::string(32, '\0');
  q8[2] = 3;
  q8[33] = static_cast<char>(-128);
  std::vector<float> expected(32, 0.0f);
  expected[0] = 1.5f;
  expected[31] = -64.0f;
  EXPECT_EQ(read(DType::kQ8_0, q8), expected);

  // The low half of byte i is element i, the high half i + 16.
  std::string q4 = hex("0038") + std::string(16, static_cast<char>(0x88));
  q4[2 + 5] = static_cast<char>(0xf0);
  expected.assign(32, 0.0f);
  expected[5] = -4.0f;
  expected[21] = 3.5f;
  EXPECT_EQ(read(DType::kQ4_0, q4), expected);

  // 0x38 is d = 0.5, 0x34 is m = 0.25. Bit 21 of the four bytes is the fifth of element 21.
  const std::string nibbles = q4.substr(2), fifth = hex("00002000");
  expected.assign(32, 0.5f * 8 + 0.25f);
  expected[5] = 0.25f;
  expected[21] = 0.5f * 15 + 0.25f;
  EXPECT_EQ(read(DType::kQ4_1, hex("00380034") + nibbles), expected);
  expected[21] = 0.5f * 31 + 0.25f;
  EXPECT_EQ(read(DType::kQ5_1, hex("00380034") + fifth + nibbles), expected);
  for (float& x : expected) x -= 0.25f + 0.5f * 16;
  EXPECT_EQ(read(DType::kQ5_0, hex("0038") + fifth + nibbles), expected);

  // Part 1: scale 63 and minimum 1. Part 6, whose upper bits lie with those of part 2: scale 0x2a,
  // minimum 0x15. All q are 0 but one of part 1 and one of part 6.
  std::string q4k = hex("00380034") + std::string(12, '\0') + std::string(128, '\0');
  q4k[4 + 1] = 63;
  q4k[4 + 5] = 1;
  q4k[4 + 10] = static_cast<char>(0x5a);
  q4k[4 + 2] = static_cast<char>(0x2a >> 4 << 6);
  q4k[4 + 6] = static_cast<char>(0x15 >> 4 << 6);
  q4k[16 + 7] = static_cast<char>(0x20);        // element 32 + 7
  q4k[16 + 3 * 32 + 9] = static_cast<char>(5);  // element 192 + 9
  expected.assign(256, 0.0f);
  for (size_t i = 0; i < 32; ++i) {
    expected[32 + i] = -0.25f;
    expected[192 + i] = -0.25f * 0x15;
  }
  expected[39] = 0.5f * 63 * 2 - 0.25f;
  expected[201] = 0.5f * 0x2a * 5 - 0.25f * 0x15;
  EXPECT_EQ(read(DType::kQ4_K, q4k), expected);
  std::string q5k = q4k;
  q5k.insert(16, std::string(32, '\0'));
  q5k[16 + 9] = static_cast<char>(1 << 6);  // element 192 + 9
  expected[201] += 0.5f * 0x2a * 16;
  EXPECT_EQ(read(DType::kQ5_K, q5k), expected);

  // Element 128 + 96 + 4: low bits in the upper half of byte 64 + 32 + 4, upper ones at the top of
  // byte 32 + 4; its scale is the 14th.
  std::string q6 = std::string(128, '\0') + std::string(64, static_cast<char>(0xaa)) +
                   std::string(16, '\0') + hex("0038");
  q6[192 + 14] = static_cast<char>(-3);
  q6[100] = static_cast<char>(0xd0);
  q6[128 + 36] = static_cast<char>(0xea);
  expected.assign(256, 0.0f);
  expected[228] = 0.5f * -3 * (0x3d - 32);
  const std::vector<float> values = read(DType::kQ6_K, q6);
  for (size_t i = 0; i < 256; ++i) ASSERT_EQ(values[i], expected[i] + 0.0f) << i;
}

TEST(Quant, BlocksOfLlamaCpp) {
  const std::vector<float> values = floats(fixture("values.f32"));
  ASSERT_EQ(values.size(), 1024u);
  for (const DType dtype : kBlockTypes) {
    std::string name(dtype_name(dtype));
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    SCOPED_TRACE(name);
    const std::string blocks = fixture(name + ".blocks");
    const std::vector<float> expected = floats(fixture(name + ".f32")), ours = read(dtype, blocks);
    ASSERT_EQ(ours.size(), expected.size());
    for (size_t i = 0; i < ours.size(); ++i) ASSERT_EQ(ours[i], expected[i]) << i;
    if (dtype_block(dtype) == 32) {
      EXPECT_EQ(write(dtype, values), blocks);
    } else {  // where a scale is zero ggml leaves q that count for nothing
      EXPECT_EQ(read(dtype, write(dtype, values)), read(dtype, fixture(name + ".written")));
    }
  }
}

// What is written is read back within half a step of the format.
TEST(Quant, ErrorIsHalfAStep) {
  Rng rng(1, 1);
  std::vector<float> values(4096);
  for (float& v : values) v = static_cast<float>(rng.normal());
  double scale = 0;
  for (const float v : values) scale += static_cast<double>(v) * static_cast<double>(v);
  // Root mean square error relative to that of the values; measured 0.0052, 0.084, 0.073, 0.042,
  // 0.037, 0.072, 0.036, 0.018.
  const double limits[] = {0.007, 0.1, 0.09, 0.05, 0.05, 0.08, 0.04, 0.02};
  static_assert(std::size(limits) == std::size(kBlockTypes));
  for (size_t i = 0; i < std::size(kBlockTypes); ++i) {
    const std::vector<float> back = read(kBlockTypes[i], write(kBlockTypes[i], values));
    double error = 0;
    for (size_t e = 0; e < values.size(); ++e) {
      const double off = static_cast<double>(values[e]) - static_cast<double>(back[e]);
      error += off * off;
    }
    EXPECT_LT(std::sqrt(error / scale), limits[i]) << dtype_name(kBlockTypes[i]);
    EXPECT_GT(std::sqrt(error / scale), limits[i] / 2) << dtype_name(kBlockTypes[i]);
  }
}

TEST(Quant, PlainTypes) {
  const std::vector<float> values = {0.0f, -1.5f, 65504.0f, 3.14159274f, 1e-7f};
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<float> back = read(dtype, write(dtype, values));
    for (size_t i = 0; i < values.size(); ++i) {
      const float expected = dtype == DType::kF32   ? values[i]
                             : dtype == DType::kF16 ? f16_to_f32(f32_to_f16(values[i]))
                                                    : bf16_to_f32(f32_to_bf16(values[i]));
      EXPECT_EQ(back[i], expected);
    }
  }
  EXPECT_EQ(read(DType::kF8E4M3, hex("38b87e")), (std::vector<float>{1.0f, -1.0f, 448.0f}));
  EXPECT_FALSE(can_quantize(DType::kF8E4M3));
  EXPECT_FALSE(can_dequantize(DType::kI8));
}

// Nothing that a file may hold makes the conversion itself misbehave.
TEST(Quant, ValuesThatAreNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN(), 3e38f}) {
    std::vector<float> values(256, 1.0f);
    values[77] = bad;
    for (const DType dtype : kBlockTypes) EXPECT_EQ(read(dtype, write(dtype, values)).size(), 256u);
  }
}

}  // namespace
}  // namespace r1
