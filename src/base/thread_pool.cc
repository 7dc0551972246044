#include "base/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "base/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace r1 {
namespace {

// Long enough to bridge the gap between two ops of one forward pass, short enough that an idle
// engine sleeps.
constexpr unsigned kSpins = 4000;

// One step of a wait. Now and then it offers the core to another thread, so that with more threads
// than cores the waiting ones do not keep the working ones from it.
void spin([[maybe_unused]] unsigned spins) {
#if defined(__x86_64__)
  if (spins % 64 != 63) {
    _mm_pause();
    return;
  }
#endif
  std::this_thread::yield();
}

constexpr uint64_t kOneRun = uint64_t{1} << 32;

uint64_t run_of(uint64_t state) {
  return state >> 32;
}

uint32_t unclaimed(uint64_t state) {
  return static_cast<uint32_t>(state);
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  shares_ = std::vector<Share>(static_cast<size_t>(threads));
  try {
    for (size_t i = 1; i < shares_.size(); ++i) workers_.emplace_back([this, i] { loop(i); });
  } catch (const std::system_error& e) {
    stop();
    throw JobError("cannot start " + std::to_string(threads) + " threads: " + e.what());
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  stop_.store(true, std::memory_order_relaxed);
  publish(0);
  for (auto& worker : workers_) worker.join();
  workers_.clear();
}

// Hands every thread its share of a new run.
void ThreadPool::publish(int64_t tasks) {
  const auto threads = static_cast<int64_t>(shares_.size());
  const uint64_t run = run_of(shares_[0].state.load(std::memory_order_relaxed)) + 1;
  bool notify;
  {
    std::lock_guard lock(mutex_);
    for (int64_t i = threads; i-- > 0;) {
      Share& share = shares_[static_cast<size_t>(i)];
      const int64_t begin = tasks * i / threads;
      share.end = tasks * (i + 1) / threads;
      share.state.store(run << 32 | static_cast<uint64_t>(share.end - begin),
                        std::memory_order_release);
    }
    notify = sleeping_ > 0;
  }
  if (notify) wake_.notify_all();
}

void ThreadPool::run_erased(int64_t tasks, Call call, void* context) {
  if (tasks <= 0) return;
  if (workers_.empty() || tasks == 1) {
    for (int64_t i = 0; i < tasks; ++i) call(context, i);
    return;
  }
  R1_CHECK(tasks < static_cast<int64_t>(kOneRun));
  call_ = call;
  context_ = context;
  unfinished_.store(tasks, std::memory_order_relaxed);
  publish(tasks);
  work(0);
  for (unsigned spins = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spins) spin(spins);
}

void ThreadPool::work(size_t self) {
  int64_t done = 0;
  for (size_t i = 0; i < shares_.size(); ++i) {
    Share& share = shares_[self + i < shares_.size() ? self + i : self + i - shares_.size()];
    uint64_t state = share.state.load(std::memory_order_relaxed);
    while (unclaimed(state) != 0) {
      if (!share.state.compare_exchange_weak(state, state - 1, std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
        continue;
      }
      call_(context_, share.end - static_cast<int64_t>(unclaimed(state)));
      ++done;
      state = share.state.load(std::memory_order_relaxed);
    }
  }
  if (done > 0) unfinished_.fetch_sub(done, std::memory_order_release);
}

void ThreadPool::loop(size_t self) {
  const std::atomic<uint64_t>& state = shares_[self].state;
  uint64_t seen = 0;
  for (;;) {
    const auto moved = [&] { return run_of(state.load(std::memory_order_relaxed)) != seen; };
    for (unsigned spins = 0; !moved(); ++spins) {
      if (spins < kSpins) {
        spin(spins);
        continue;
      }
      std::unique_lock lock(mutex_);
      ++sleeping_;
      wake_.wait(lock, moved);
      --sleeping_;
    }
    seen = run_of(state.load(std::memory_order_acquire));
    if (stop_.load(std::memory_order_relaxed)) return;
    work(self);
  }
}

}  // namespace r1
