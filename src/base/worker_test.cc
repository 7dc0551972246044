#include "base/worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace r1 {
namespace {

TEST(Worker, RunsJobsInOrderBesideTheCaller) {
  std::vector<int> order;
  Worker worker;
  for (int i = 0; i < 100; ++i) worker.post([&order, i] { order.push_back(i); });
  worker.finish();
  EXPECT_EQ(worker.completed(), 100);
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  worker.post([&] { order.clear(); });
  worker.finish();
  EXPECT_TRUE(order.empty());
}

TEST(Worker, WhatAJobThrowsSurfacesAsItself) {
  std::atomic<int> ran = 0;
  Worker worker;
  worker.post([&] { ++ran; });
  worker.post([] { throw std::out_of_range("a verifier's own"); });
  worker.post([&] { ++ran; });
  EXPECT_THROW(worker.finish(), std::out_of_range);
  EXPECT_THROW(worker.completed(), std::out_of_range);
  EXPECT_EQ(ran, 1);
}

TEST(Worker, NoJobRunsOnceItIsGone) {
  std::atomic<int> ran = 0;
  for (int i = 0; i < 20; ++i) {
    auto worker = std::make_unique<Worker>();
    for (int k = 0; k < 100; ++k) worker->post([&] { ++ran; });
    worker.reset();
    const int now = ran;
    std::this_thread::yield();
    EXPECT_EQ(ran, now);
  }
}

}  // namespace
}  // namespace r1
