// A thread beside the caller's that runs jobs one after another, in order.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace r1 {

// One thread at a time may call it. What jobs refer to must outlive it.
class Worker {
 public:
  Worker();
  // Waits for the job that runs; those after it are dropped.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void post(std::function<void()> job);
  // How many jobs are done; what they wrote is visible. Throws what a job threw; no job runs after
  // that.
  int64_t completed();
  // Waits until all are done. Throws what a job threw.
  void finish();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_, as are all that follow
  int64_t completed_ = 0;
  bool running_ = false, stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace r1
