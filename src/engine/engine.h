// Continuous batching over paged keys and values (vLLM: Kwon et al., SOSP 2023; Orca: Yu et al.,
// OSDI 2022). Each step runs one forward pass over the decoding rows of all running sequences and
// chunks of waiting prompts; finished sequences leave at once. A request's n completions share the
// pages of its prompt.
//
// What a request yields depends on the weights, its prompt, parameters and seed alone: never on
// what else is in the batch, on the chunking, or on the number of threads (docs/numerics.md).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/page_pool.h"
#include "engine/thinking_budget.h"
#include "model/decoder.h"
#include "model/sampling.h"
#include "text/tokenizer.h"

namespace r1 {

struct Request {
  std::vector<int32_t> prompt;  // at least one token
  SamplingParams sampling;
  int64_t max_new_tokens = 256;
  uint64_t seed = 0;
  int64_t n = 1;                  // completions of this prompt; the i-th draws from its own stream
  std::vector<int32_t> stop_ids;  // end a completion, and are its last token
  std::vector<std::string> stop;  // end a completion where its text contains one of them
  ThinkingBudget thinking;        // needs a tokenizer; waits need one with </think> as a token
};

enum class FinishReason { kStop, kLength, kCancelled };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

struct Completion {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;  // of each id, under the distribution it was drawn from
  FinishReason reason = FinishReason::kLength;
  // Under a thinking budget: tokens of thinking, and which of the ids it wrote and nobody drew.
  int64_t thinking_tokens = 0;
  std::vector<int64_t> forced;  // indices into ids, in order
};

// Told of every token as it is drawn.
struct TokenEvent {
  int64_t request = 0;  // what submit returned
  int64_t completion = 0;
  int32_t id = 0;
  float logprob = 0;
  bool last = false;
  bool forced = false;  // written by a thinking budget
};

struct EngineOptions {
  int64_t max_sequences = 256;     // decoding at once
  int64_t max_batch_tokens = 512;  // rows of one forward pass; at least max_sequences
  int64_t prefill_chunk = 256;     // rows of one prompt in one pass
  int64_t max_context = 2048;      // longest prompt + completion
  int64_t kv_pages = 0;            // 0: enough for max_sequences of max_context, at most kv_bytes
  int64_t kv_bytes = int64_t{2} << 30;
};

struct EngineStats {
  int64_t prompt_tokens = 0, new_tokens = 0, steps = 0;
};

class Engine {
 public:
  // model, ops and tokenizer must outlive the engine. A tokenizer is needed for stop strings alone.
  // The model's weights may change between requests, never while one runs.
  Engine(const Model& model, Ops& ops, const EngineOptions& options,
         const Tokenizer* tokenizer = nullptr);
  ~Engine();

  // Queues a request. InputError if it can never run: empty prompt, ids outside the vocabulary, too
  // long for max_context or the cache, sampling parameters out of range.
  int64_t submit(Request request);
  // Ends a request's completions where they are; no more events of it come. May be called from
  // on_token: the request is then done when step() returns.
  void cancel(int64_t request);

  // Runs one batch. False when nothing is left to do.
  bool step();

  // The completions of a finished request, in order; empties its record. The request must be done.
  std::vector<Completion> take(int64_t request);
  bool done(int64_t request) const;

  // The callback must not throw.
  void on_token(std::function<void(const TokenEvent&)> callback) {
    on_token_ = std::move(callback);
  }

  // submit, step until done, take: for each request in order.
  std::vector<std::vector<Completion>> generate(std::span<const Request> requests);

  const EngineStats& stats() const { return stats_; }
  int64_t kv_cache_bytes() const;

 private:
  struct Running;
  struct Group;

  void admit();
  void launch();
  void build_batch();
  void sample_tokens();
  void accept(Running& sequence, int32_t id, float logprob);
  bool stop_string_found(Running& sequence, const std::string& text);
  void remove_finished();
  int64_t pages_of_completion(const Group& group) const;

  const Model& model_;
  Ops& ops_;
  EngineOptions options_;
  const Tokenizer* tokenizer_;
  KvCache kv_;
  PagePool pool_;
  Activations activations_{Activations::Keep::kNothing};

  std::deque<std::unique_ptr<Group>>
      groups_;  // in the order of submission; done ones stay until taken
  std::vector<std::unique_ptr<Running>> running_;
  int64_t next_request_ = 0;
  int64_t promised_ = 0;   // pages that running sequences may still take
  bool sampling_ = false;  // on_token may be called

  Batch batch_;
  Buffer hidden_, logits_;
  std::vector<Running*> sampled_;  // whose next token each row of hidden_ gives
  std::vector<Group*> prefilled_;  // whose prompt this step completed
  EngineStats stats_;
  std::function<void(const TokenEvent&)> on_token_;
};

}  // namespace r1
