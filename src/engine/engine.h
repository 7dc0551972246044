// Continuous batching over paged keys and values (vLLM: Kwon et al., SOSP 2023; Orca: Yu et al.,
// OSDI 2022). Each step runs one forward pass over the decoding rows of all running sequences and
// chunks of waiting prompts; finished sequences leave at once. A request's n completions share the
// pages of its prompt, and any request those that begin as its own tokens do.
//
//   Scheduler (scheduler.h)            who runs, on which pages
//   KvStore (kv_store.h)               the pages, and what is known of them
//   Sampler (sampler.h)                tokens from hidden states
//   CompletionText (completion_text.h) text, stop strings, thinking budgets
//
// What a request yields depends on the weights, its prompt, parameters and seed alone: never on
// what else is in the batch, on the chunking, on what was preempted or found, or on the number of
// threads (docs/numerics.md).
//
// Threads: one at a time may call an engine, and none while its Ops, Model or Tokenizer are used by
// another. Sinks are called on the thread that calls step(). EngineHost (engine_host.h) is for all
// others.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/kv_store.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "model/decoder.h"
#include "text/tokenizer.h"

namespace r1 {

struct EngineOptions {
  int64_t max_sequences = 256;     // running at once
  int64_t max_batch_tokens = 512;  // rows of one forward pass; at least max_sequences
  int64_t prefill_chunk = 256;     // rows of one prompt in one pass
  int64_t max_context = 2048;      // longest prompt + completion
  int64_t kv_pages = 0;            // 0: enough for max_sequences of max_context, at most kv_bytes
  int64_t kv_bytes = int64_t{2} << 30;
  // Pages that nobody uses are kept for what they hold: at most so many; -1: all. A rollout, whose
  // prompts do not come again, has no use for the memory that all would take.
  int64_t kept_pages = -1;
};

struct EngineStats {
  int64_t prompt_tokens = 0;      // computed, once a group
  int64_t new_tokens = 0;         // drawn
  int64_t steps = 0;              // batches
  int64_t reused_tokens = 0;      // whose keys another had computed, found by their tokens
  int64_t recomputed_tokens = 0;  // computed once more, for what was preempted or came late
  int64_t preemptions = 0;
  double flops = 0;  // of the forward passes: each row over its own context (ModelConfig)
};

class Engine {
 public:
  // model, ops and tokenizer must outlive the engine. A tokenizer is needed for text alone: stop
  // strings, thinking budgets, Completion::text. The model's weights may change between steps: what
  // runs then is computed again with the new ones.
  Engine(const Model& model, Ops& ops, const EngineOptions& options,
         const Tokenizer* tokenizer = nullptr);
  ~Engine();

  // Queues a request. InputError if it can never run: empty prompt, ids outside the vocabulary, too
  // long for max_context or the cache, sampling parameters out of range.
  int64_t submit(Request request, TokenSink sink = {});
  // Ends a request's completions where they are; no more events of it come. May be called from a
  // sink: the request is then done when step() returns.
  void cancel(int64_t request);

  // Runs one batch. False when nothing is left to do. If something throws on the way, out of memory
  // for instance, the requests that ran end in an error and the exception goes on to the caller;
  // the others are as they were, and the engine can be used as before.
  bool step();

  bool done(int64_t request) const;
  // The completions of a finished request, in order; empties its record. The request must be done.
  std::vector<Completion> take(int64_t request);
  // Cancels a request and empties its record. Not from a sink. Nothing, if there is none.
  void drop(int64_t request);

  // submit, step until done, take: for each request in order. If a step throws, all are dropped.
  std::vector<std::vector<Completion>> generate(std::span<const Request> requests);

  EngineStats stats() const;
  int64_t kv_cache_bytes() const;
  // Pages of the cache, and those of them that nobody uses.
  int64_t pages() const { return store_.pages(); }
  int64_t available_pages() const { return store_.available(); }

 private:
  void check(const Request& request) const;
  void run_batch();
  void build_batch(const Scheduler::Plan& plan);
  void note_computed(const Scheduler::Plan& plan);
  void launch_groups();
  void draw();
  void accept(Branch& branch, int32_t id, float logprob);
  void finish(Branch& branch);
  void count_finished(Group& group);
  void tell(Branch& branch, int32_t id, float logprob);
  bool call_sink(Group& group, const TokenEvent& event);
  std::vector<int64_t> end(Group& group, FinishReason reason, const std::string& error);
  void sweep();
  void fail_running(const std::string& error);

  const Model& model_;
  Ops& ops_;
  EngineOptions options_;
  const Tokenizer* tokenizer_;
  KvStore store_;
  Scheduler scheduler_;
  Sampler sampler_;
  Activations activations_;
  uint64_t weights_ = 0;  // the model's version that the keys are of

  std::map<int64_t, std::unique_ptr<Group>> groups_;  // by id; done ones stay until taken
  int64_t next_request_ = 0;
  std::vector<Group*> leaving_;  // all of whose completions are finished since the last sweep
  bool in_sink_ = false;         // called from a sink: branches stay where they are

  Batch batch_;
  std::vector<int32_t> chunk_;
  Buffer hidden_;
  DeviceBatch forks_;             // the copies that launching makes
  std::vector<Branch*> sampled_;  // whose next token each row of hidden_ gives
  std::vector<DrawRow> rows_;
  EngineStats stats_;
  double row_flops_ = 0, key_flops_ = 0, head_flops_ = 0;  // of a row, each key it sees, its logits
};

}  // namespace r1
