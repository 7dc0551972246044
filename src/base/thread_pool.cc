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
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { loop(); });
  } catch (const std::system_error& e) {
    stop();
    throw JobError("cannot start " + std::to_string(threads) + " threads: " + e.what());
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
    state_.fetch_add(kOneRun, std::memory_order_release);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
  workers_.clear();
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
  tasks_ = tasks;
  unfinished_.store(tasks, std::memory_order_relaxed);
  bool notify;
  {
    std::lock_guard lock(mutex_);
    const uint64_t run = run_of(state_.load(std::memory_order_relaxed)) + 1;
    state_.store(run << 32 | static_cast<uint64_t>(tasks), std::memory_order_release);
    notify = sleeping_ > 0;
  }
  if (notify) wake_.notify_all();
  work();
  for (unsigned spins = 0; unfinished_.load(std::memory_order_acquire) != 0; ++spins) spin(spins);
}

void ThreadPool::work() {
  int64_t done = 0;
  uint64_t state = state_.load(std::memory_order_relaxed);
  while (unclaimed(state) != 0) {
    if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
      continue;
    }
    call_(context_, tasks_ - static_cast<int64_t>(unclaimed(state)));
    ++done;
    state = state_.load(std::memory_order_relaxed);
  }
  if (done > 0) unfinished_.fetch_sub(done, std::memory_order_release);
}

void ThreadPool::loop() {
  uint64_t seen = 0;
  for (;;) {
    const auto moved = [&] { return run_of(state_.load(std::memory_order_relaxed)) != seen; };
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
    seen = run_of(state_.load(std::memory_order_acquire));
    if (stop_.load(std::memory_order_relaxed)) return;
    work();
  }
}

}  // namespace r1
