// Whole models timed: reading a prompt, writing after it, a group of completions, training, a step
// of reinforcement learning.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/estimate.h"
#include "bench/roof.h"
#include "model/model.h"
#include "rl/grpo.h"
#include "train/sequence_batch.h"

namespace r1 {

struct ModelTime {
  std::string test;    // "prefill", "decode", "group", "train", or a part of "grpo"
  int64_t tokens = 0;  // of a pass
  double seconds = 0;  // of a pass: the median
  // What a pass cannot do without: multiply-adds (2 operations each) of the products and of
  // attention, at the peak of the products' type; and weights, keys and values read once.
  double flops = 0, bytes = 0;
  PassCost cost = {};  // that the seconds can be predicted from

  double rate() const { return static_cast<double>(tokens) / seconds; }
  double flops_seconds(const Roof& roof, DType dtype) const { return flops / roof.peak(dtype); }
  double bytes_seconds(const Roof& roof) const { return bytes / roof.read; }
  // Of `seconds`, what the machine's limits demand.
  double share(const Roof& roof, DType dtype) const {
    return std::max(flops_seconds(roof, dtype), bytes_seconds(roof)) / seconds;
  }
};

// Tokens to run over: `count` ids, another run of them for each `first`; and as a trainer takes
// them, in sequences of `length`.
std::vector<int32_t> any_tokens(int64_t first, int64_t count, int64_t vocab_size);
SequenceBatch any_sequences(int64_t tokens, int64_t length, int64_t vocab_size);

// Each is warmed up before it is timed.

// A prompt's forward pass in one batch, logits of its last row included.
ModelTime time_prefill(const Model& model, Ops& ops, int64_t tokens);

// One token after `depth` others, `tokens` times.
ModelTime time_decode(const Model& model, Ops& ops, int64_t tokens, int64_t depth);

// `n` completions of one prompt of `prompt` tokens, `tokens` long, as the engine samples them: a
// pass is one token of each, its logits over the vocabulary, the draw and its log-probability.
ModelTime time_group(const Model& model, Ops& ops, int64_t n, int64_t prompt, int64_t tokens,
                     const SamplingParams& sampling);

// An optimizer step on `tokens` tokens in sequences of `length`: forward, backward, AdamW, packing.
// FLOPs are 6 a parameter and token, of those parameters that products have.
ModelTime time_training(Model& model, Ops& ops, int64_t tokens, int64_t length);

struct GrpoSize {
  int64_t prompts_per_step = 8, num_generations = 8;
  int64_t prompt_length = 32, max_completion_length = 128;  // tokens
};
struct GrpoTime {
  ModelTime step, sampling, training;  // tokens: of the completions
  GrpoStep last;
};

// Steps of Grpo (rl/grpo.h) by its defaults: completions sampled by the engine and graded, one
// update on all of them. The model's config must have no end of sequence, so that all have the
// whole length. FLOPs are those of a forward pass in sampling and three in training, the prompt
// once a group.
GrpoTime time_grpo(Model& model, Ops& ops, const GrpoSize& size);

}  // namespace r1
