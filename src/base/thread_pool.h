// A pool that runs a fixed number of independent tasks. Which thread runs which task is not
// specified, so a task's result must not depend on it: that is how thread counts leave no trace.
// Each thread begins with its own share of the tasks, neighbours of each other and the same share
// in every run, so that it finds in its caches what it wrote; then it helps the others.
#pragma once

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
  // threads >= 1 counts the caller's own. 0 means the hardware's. JobError if the system refuses
  // that many.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls f(task) for task in [0, tasks) and returns when all are done; what they wrote is then
  // visible to the caller. One caller at a time; tasks < 2^32; f must not throw and must not call
  // run.
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
  void publish(int64_t tasks);
  // Runs tasks until none is left to claim.
  void work(size_t self);
  void loop(size_t self);
  void stop();

  // The number of the run (high half) and how many of the share's tasks, which lie before `end`,
  // are unclaimed (low half). A thread claims a task by taking one off the low half, and only then
  // reads end, call_ and context_: the run cannot end before that task is done, so they are that
  // run's. A thread that comes late finds nothing to claim, and nobody waits for a thread that has
  // claimed nothing: one that the system has put aside holds no run up.
  struct alignas(64) Share {
    std::atomic<uint64_t> state{0};
    int64_t end = 0;
  };
  std::vector<Share> shares_;  // the first is the caller's
  alignas(64) std::atomic<int64_t> unfinished_{0};
  alignas(64) Call call_ = nullptr;
  void* context_ = nullptr;

  std::mutex mutex_;
  std::condition_variable wake_;
  int sleeping_ = 0;               // guarded by mutex_
  std::atomic<bool> stop_{false};  // stopping also publishes a run of no tasks
  std::vector<std::thread> workers_;
};

}  // namespace r1
