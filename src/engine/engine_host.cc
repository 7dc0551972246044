#include "engine/engine_host.h"

#include <utility>

#include "base/error.h"

namespace r1 {

EngineHost::EngineHost(std::unique_ptr<Engine> engine)
    : engine_(std::move(engine)), thread_([this] { run(); }) {}

EngineHost::~EngineHost() {
  shutdown();
}

EngineHost::Ticket EngineHost::submit(Request request, TokenSink sink) {
  Submission s;
  s.request = std::move(request);
  Ticket ticket{0, s.promise.get_future()};
  const std::lock_guard lock(mutex_);
  if (closing_) throw JobError("the engine has been shut down");
  s.id = ticket.request = next_id_++;
  if (sink) {
    s.sink = [id = s.id, sink = std::move(sink)](TokenEvent event) {
      event.request = id;
      sink(event);
    };
  }
  mail_.submissions.push_back(std::move(s));
  arrived_.notify_one();
  return ticket;
}

void EngineHost::cancel(int64_t request) {
  const std::lock_guard lock(mutex_);
  mail_.cancellations.push_back(request);
  arrived_.notify_one();
}

EngineStats EngineHost::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void EngineHost::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    arrived_.notify_one();
  }
  const std::lock_guard lock(join_);
  if (thread_.joinable()) thread_.join();
}

void EngineHost::run() {
  for (bool open = true; open;) {
    Mail mail;
    open = take_mail(!busy_, mail);
    for (Submission& s : mail.submissions) submit_to_engine(std::move(s));
    for (const int64_t id : mail.cancellations) {
      if (const auto it = open_.find(id); it != open_.end()) engine_->cancel(it->second.in_engine);
    }
    if (open) {
      run_batch();
    } else {
      for (const auto& [id, request] : open_) engine_->cancel(request.in_engine);
    }
    deliver();
  }
}

// False when the host is closing: what came before is in `mail` all the same.
bool EngineHost::take_mail(bool wait, Mail& mail) {
  std::unique_lock lock(mutex_);
  if (wait) arrived_.wait(lock, [&] { return closing_ || !mail_.empty(); });
  std::swap(mail, mail_);
  return !closing_;
}

void EngineHost::submit_to_engine(Submission s) {
  try {
    const int64_t id = engine_->submit(std::move(s.request), std::move(s.sink));
    open_.emplace(s.id, Open{id, std::move(s.promise)});
  } catch (...) {
    s.promise.set_exception(std::current_exception());
  }
}

void EngineHost::run_batch() {
  try {
    busy_ = engine_->step();
  } catch (...) {
    busy_ = true;  // those it ran have ended in an error, which their completions tell
  }
  const std::lock_guard lock(mutex_);
  stats_ = engine_->stats();
}

void EngineHost::deliver() {
  for (auto it = open_.begin(); it != open_.end();) {
    Open& request = it->second;
    if (!engine_->done(request.in_engine)) {
      ++it;
      continue;
    }
    request.promise.set_value(engine_->take(request.in_engine));
    it = open_.erase(it);
  }
}

}  // namespace r1
