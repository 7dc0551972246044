#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>

#include "base/error.h"

namespace r1 {
namespace {

TEST(ThreadPool, EveryTaskRunsOnce) {
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> ran(static_cast<size_t>(tasks));
      pool.run(tasks, [&](int64_t i) { ran.at(static_cast<size_t>(i)).fetch_add(1); });
      for (const auto& n : ran) ASSERT_EQ(n.load(), 1) << threads << " threads, " << tasks;
    }
  }
}

// Plain memory on purpose: what tasks wrote must be visible after run, and the next run's tasks
// must see what the caller wrote between. A race shows under -DR1_SANITIZE=thread. Closures of
// different types and sizes, so that a thread that mixes up two runs does damage.
TEST(ThreadPool, ManyRunsBackToBack) {
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    std::vector<int64_t> a(16), b(16);
    for (int64_t round = 0; round < 1000; ++round) {
      const int64_t tasks = 1 + round % 16;
      pool.run(tasks, [&](int64_t i) { a[static_cast<size_t>(i)] = round + i; });
      pool.run(tasks, [&a, &b, round, tasks](int64_t i) {
        b[static_cast<size_t>(i)] = a[static_cast<size_t>(tasks - 1 - i)] * 2 + round;
      });
      for (int64_t i = 0; i < tasks; ++i) {
        ASSERT_EQ(b[static_cast<size_t>(i)], (round + tasks - 1 - i) * 2 + round);
      }
    }
  }
}

TEST(ThreadPool, WorkersThatSleepWakeUp) {
  ThreadPool pool(4);
  for (int round = 0; round < 10; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int64_t> sum{0};
    pool.run(100, [&](int64_t i) { sum += i; });
    ASSERT_EQ(sum.load(), 4950);
  }
}

// Two tasks that wait for each other end only if two threads run them.
TEST(ThreadPool, TasksRunAtTheSameTime) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    if (round % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> here{0};
    pool.run(2, [&](int64_t) {
      ++here;
      while (here.load() < 2) std::this_thread::yield();
    });
    ASSERT_EQ(here.load(), 2);
  }
}

TEST(ThreadPool, StopsAtOnceWithoutARun) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(1 + i % 8);
}

TEST(ThreadPool, TakesAConstCallable) {
  ThreadPool pool(2);
  std::atomic<int> count{0};
  const auto f = [&](int64_t) { ++count; };
  pool.run(10, f);
  EXPECT_EQ(count.load(), 10);
}

}  // namespace
}  // namespace r1
