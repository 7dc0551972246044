// Whole models timed: reading a prompt, and writing after it.
#pragma once

#include <cstdint>

#include "bench/roof.h"
#include "model/model.h"

namespace r1 {

struct ModelTimes {
  double prefill = 0;  // seconds of a prompt's forward pass, logits of its last row included
  double decode = 0;   // seconds of one token after it: the median
  // The least that the machine's limits allow: multiply-adds of the products and of attention, and
  // the weights read once a token.
  double prefill_limit = 0, decode_limit = 0;
};

// A prompt of `prefill` tokens in one batch, then `decode` tokens from an empty context: what
// llama-bench measures. After one warm-up of each. dtype is the products'.
ModelTimes time_model(const Model& model, Ops& ops, const Roof& roof, DType dtype, int64_t prefill,
                      int64_t decode);

}  // namespace r1
