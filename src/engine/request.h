// What the engine is asked for, what it tells while it works, and what it answers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/thinking_budget.h"
#include "model/sampling.h"
#include "text/think.h"

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
  bool text_events = true;        // TokenEvent::text is wanted, where there is a sink
};

enum class FinishReason { kStop, kLength, kCancelled, kError };
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled", "error"

struct Completion {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;  // of each id, under the distribution it was drawn from
  FinishReason reason = FinishReason::kLength;
  std::string error;  // of kError: what went wrong
  // Where the engine has a tokenizer: what the ids say, special tokens left out, up to the stop
  // string that ended it.
  std::string text;
  bool thinking_opened = false;  // the prompt ended in <think>
  // Under a thinking budget: tokens of thinking, and which of the ids it wrote and nobody drew.
  int64_t thinking_tokens = 0;
  std::vector<int64_t> forced;  // indices into ids, in order

  // The text's thinking and answer: views into it.
  ThinkSplit parts() const { return split_thinking(text, thinking_opened); }
};

// A token, as it is drawn; or the end of a completion that an error ended.
struct TokenEvent {
  int64_t request = 0;  // what submit returned
  int64_t completion = 0;
  int32_t id = -1;  // -1: no token
  float logprob = 0;
  bool forced = false;  // written by a thinking budget
  // Where the engine has a tokenizer: what the completion's text goes on with, in whole characters.
  // What could be the beginning of a tag or of a stop string comes later. Put together, the
  // completion's parts. Valid during the call.
  std::span<const ThinkPiece> text;
  bool last = false;
  FinishReason reason = FinishReason::kLength;  // of the last
};

// Told of every token of one request. May call the engine's submit and cancel. If it throws, its
// request ends in an error, and it is not called again.
using TokenSink = std::function<void(const TokenEvent& event)>;

}  // namespace r1
