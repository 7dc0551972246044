// The fence itself: what is behind it is out of everyone's reach but the ops'.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "backend/backend.h"
#include "backend/fenced/fenced_ops.h"

namespace r1 {
namespace {

TEST(FencedMemory, HandsOutZerosThatDoNotOverlapAndTakesThemBack) {
  FencedMemory memory;
  constexpr size_t kBytes = 10000;
  std::byte* const a = memory.allocate(kBytes);
  std::byte* const b = memory.allocate(kBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % kBlockAlignment, 0u);
  EXPECT_GE(static_cast<size_t>(b - a), kBytes);
  EXPECT_TRUE(memory.holds(a, kBytes));
  EXPECT_FALSE(memory.holds(&memory, 1));
  memory.enter();
  a[kBytes - 1] = std::byte{7};
  std::byte* const c = memory.allocate(kBytes);  // inside: accessible at once
  c[0] = std::byte{7};
  memory.leave();
  for (std::byte* const piece : {c, a, b}) memory.free(piece, kBytes);
  std::byte* const all = memory.allocate(3 * kBytes);
  EXPECT_EQ(all, a);  // neighbours have grown together
  memory.enter();
  for (size_t i = 0; i < 3 * kBytes; ++i) ASSERT_EQ(all[i], std::byte{0});
  memory.leave();
  memory.free(all, 3 * kBytes);
}

TEST(FencedMemory, StaysOpenUntilTheLastHasLeft) {
  FencedMemory memory;
  std::byte* const a = memory.allocate(1);
  memory.enter();
  std::thread([&] {
    memory.enter();
    memory.leave();
  }).join();
  a[0] = std::byte{1};
  memory.leave();
  memory.free(a, 1);
}

TEST(FencedMemoryDeathTest, ReadingFromOutsideIsTheEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(1);
  const auto ops = make_ops(pool, "fenced");
  Buffer buffer = Buffer::of_floats(4, ops->memory());
  const std::vector<float> values = {1, 2, 3, 4};
  ops->upload(values.data(), buffer.data(), buffer.bytes());
  std::vector<float> back(4);
  ops->download(buffer.data(), back.data(), buffer.bytes());
  EXPECT_EQ(back, values);
  const volatile float* const planted = buffer.floats();
  EXPECT_DEATH(static_cast<void>(*planted), "");
  EXPECT_DEATH(buffer.floats()[0] = 1, "");
}

TEST(FencedOpsDeathTest, RefusesWhatIsTheHosts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ThreadPool pool(1);
  const auto ops = make_ops(pool, "fenced");
  EXPECT_STREQ(ops->name(), "fenced");
  Buffer buffer = Buffer::of_floats(4, ops->memory());
  std::vector<float> host(4);
  const Tensor ours(buffer.floats(), 1, 4), theirs(host.data(), 1, 4);
  ops->add(ours, ours);
  EXPECT_DEATH(ops->add(ours, theirs), "holds");
  EXPECT_DEATH(ops->upload(buffer.data(), buffer.data(), 4), "holds");
  EXPECT_DEATH(ops->download(host.data(), host.data(), 4), "holds");
  const std::vector<int32_t> row = {0};
  EXPECT_DEATH(ops->gather_rows(ours, row, ours), "holds");
}

TEST(FencedOps, BringsABatchOverAtOnce) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool, "fenced");
  const std::vector<int32_t> tokens = {5, 6, 7}, positions = {0, 1, 20}, outputs = {2};
  const std::vector<int32_t> table = {3}, late = {1, 0};
  const std::vector<Sequence> seqs = {{0, 2, 0, table.data(), 0}, {2, 1, 20, late.data(), 1}};
  const std::vector<PageCopy> copies = {{1, 2, 3}};
  DeviceBatch batch;
  ops->begin({tokens, positions, outputs, seqs, copies}, batch);
  const auto back = [&]<class T>(std::span<const T> values) {
    std::vector<std::remove_const_t<T>> host(values.size());
    ops->download(values.data(), host.data(), values.size_bytes());
    return host;
  };
  EXPECT_EQ(back(batch.tokens), tokens);
  EXPECT_EQ(back(batch.positions), positions);
  EXPECT_EQ(back(batch.outputs), outputs);
  EXPECT_EQ(back(batch.copies).at(0).slots, 3);
  ASSERT_EQ(batch.seqs.bounds.size(), 2u);
  EXPECT_EQ(batch.seqs.bounds[1].position, 20);
  EXPECT_EQ(back(std::span(batch.seqs.bounds[1].pages, 2)), late);
  const auto kernels = back(std::span(batch.seqs.data, 2));
  EXPECT_EQ(kernels[1].pages, batch.seqs.bounds[1].pages);
  EXPECT_EQ(kernels[0].count, 2);
}

}  // namespace
}  // namespace r1
