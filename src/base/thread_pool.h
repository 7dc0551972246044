// A pool that runs a fixed number of independent tasks. Which thread runs which task is not
// specified, so a task's result must not depend on it: that is how thread counts leave no trace.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace r1 {

class ThreadPool {
 public:
  // threads >= 1 counts the caller's own. 0 means the hardware's.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls f(task) for task in [0, tasks) and returns when all are done. One caller at a time;
  // f must not throw and must not call run.
  template <class F>
  void run(int64_t tasks, F&& f) {
    using Fn = std::remove_reference_t<F>;
    run_erased(
        tasks, [](void* context, int64_t task) { (*static_cast<Fn*>(context))(task); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  using Call = void (*)(void*, int64_t);
  void run_erased(int64_t tasks, Call call, void* context);
  void loop();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  int sleeping_ = 0;
  bool stop_ = false;

  Call call_ = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  std::atomic<int64_t> next_{0};
  std::atomic<uint64_t> ticket_{0};  // grows by one a run; workers wait for it to move
  std::atomic<int> busy_{0};         // workers that have not finished the current run
};

}  // namespace r1
