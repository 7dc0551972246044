// An engine that any thread may use: one thread owns it and runs its batches, and a mailbox takes
// requests and cancellations from all others.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace r1 {

// All functions may be called from any thread, sinks included, but for shutdown and the destructor,
// which sinks must not call.
class EngineHost {
 public:
  // Nobody else may use the engine, its Ops, or change its Model, until the host is gone.
  explicit EngineHost(std::unique_ptr<Engine> engine);
  ~EngineHost();  // shuts down
  EngineHost(const EngineHost&) = delete;
  EngineHost& operator=(const EngineHost&) = delete;

  struct Ticket {
    int64_t request;  // for cancel; TokenEvent::request is it too
    // Gets the completions, cancelled ones included, or the InputError that refuses the request. A
    // batch that failed ends its completions in an error (Completion::error).
    std::future<std::vector<Completion>> completions;
  };
  // The sink is called on the engine's thread, and holds up all requests while it runs. Its last
  // call is before the future is ready. JobError after shutdown.
  Ticket submit(Request request, TokenSink sink = {});
  // Ends a request where it is, in a moment. Nothing if it has ended.
  void cancel(int64_t request);

  // As of the last batch.
  EngineStats stats() const;

  // Ends all requests as cancelled and joins the thread. Submissions from then on are refused.
  void shutdown();

 private:
  struct Submission {
    int64_t id = 0;
    Request request;
    TokenSink sink;
    std::promise<std::vector<Completion>> promise;
  };
  struct Mail {
    std::vector<Submission> submissions;
    std::vector<int64_t> cancellations;
    bool empty() const { return submissions.empty() && cancellations.empty(); }
  };
  struct Open {
    int64_t in_engine;
    std::promise<std::vector<Completion>> promise;
  };

  void run();
  bool take_mail(bool wait, Mail& mail);
  void submit_to_engine(Submission submission);
  void run_batch();
  void deliver();

  const std::unique_ptr<Engine> engine_;  // the thread's, as are the next two
  std::map<int64_t, Open> open_;          // by the host's number
  bool busy_ = false;                     // the engine has something left to do

  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  Mail mail_;  // guarded by mutex_, as are the next three
  bool closing_ = false;
  int64_t next_id_ = 0;
  EngineStats stats_;

  std::mutex join_;
  std::thread thread_;  // guarded by join_ once it runs
};

}  // namespace r1
