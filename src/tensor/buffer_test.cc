#include "tensor/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace r1 {
namespace {

bool aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % kBlockAlignment == 0;
}

TEST(Buffer, AlignedAndZero) {
  // Twice, so that the second round gets memory that the first one has written to.
  for (int round = 0; round < 2; ++round) {
    for (const size_t bytes : {1, 63, 64, 65, 4096, 1 << 20, (4 << 20) - 1, 4 << 20, 9 << 20}) {
      Buffer buffer(bytes);
      EXPECT_EQ(buffer.bytes(), bytes);
      ASSERT_TRUE(aligned(buffer.data()));
      std::byte* end = buffer.data() + bytes;
      EXPECT_TRUE(std::all_of(buffer.data(), end, [](std::byte b) { return b == std::byte{0}; }));
      std::fill(buffer.data(), end, std::byte{0xff});
    }
  }
}

TEST(Buffer, EmptyAndFloats) {
  EXPECT_EQ(Buffer().data(), nullptr);
  EXPECT_EQ(Buffer(0).data(), nullptr);
  Buffer buffer = Buffer::of_floats(10);
  EXPECT_EQ(buffer.bytes(), 40u);
  buffer.floats()[9] = 1.5f;
  EXPECT_EQ(static_cast<const Buffer&>(buffer).floats()[9], 1.5f);
}

TEST(Buffer, MovesWithoutMovingTheMemory) {
  for (const size_t bytes : {100, 8 << 20}) {
    Buffer a(bytes);
    std::byte* where = a.data();
    where[99] = std::byte{7};
    Buffer b(std::move(a));
    Buffer c(10);
    c = std::move(b);
    EXPECT_EQ(c.data(), where);
    EXPECT_EQ(c.bytes(), bytes);
    EXPECT_EQ(c.data()[99], std::byte{7});
  }
}

TEST(Buffer, ImpossibleSizeIsAJobError) {
  EXPECT_THROW(Buffer(std::numeric_limits<size_t>::max()), JobError);
  EXPECT_THROW(Buffer(size_t{1} << 60), JobError);
  EXPECT_THROW(Buffer::of_floats(std::numeric_limits<int64_t>::max()), JobError);
  EXPECT_THROW(Arena().floats(std::numeric_limits<int64_t>::max()), JobError);
}

TEST(Arena, BlocksStayWhereTheyAreAndDoNotOverlap) {
  Arena arena(host_memory(), 1024);
  std::vector<std::pair<float*, int64_t>> blocks;
  for (int64_t n = 0; n < 100; ++n) {
    float* block = arena.floats(n * 7);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(aligned(block));
    std::fill(block, block + n * 7, static_cast<float>(n));
    blocks.emplace_back(block, n * 7);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto [block, n] = blocks[i];
    EXPECT_EQ(std::count(block, block + n, static_cast<float>(i)), n);
  }
}

TEST(Arena, CountsAndReuses) {
  Arena arena(host_memory(), 256);
  EXPECT_EQ(arena.capacity(), 0u);
  arena.floats(1);   // 64 bytes
  arena.floats(17);  // 128
  EXPECT_EQ(arena.used(), 192u);
  EXPECT_EQ(arena.capacity(), 256u);
  arena.floats(1000);  // 4032, in a chunk of its own
  EXPECT_EQ(arena.used(), 4224u);
  EXPECT_EQ(arena.capacity(), 256u + 4032u);
  arena.reset();
  EXPECT_EQ(arena.used(), 0u);
  EXPECT_EQ(arena.high_water(), 4224u);
  EXPECT_EQ(arena.capacity(), 4224u);
  // The same needs again fit, in the same place, and nothing more is taken.
  float* first = arena.floats(1000);
  arena.floats(17);
  arena.floats(1);
  EXPECT_EQ(arena.capacity(), 4224u);
  arena.reset();
  EXPECT_EQ(arena.floats(5), first);
  EXPECT_EQ(arena.high_water(), 4224u);
}

}  // namespace
}  // namespace r1
