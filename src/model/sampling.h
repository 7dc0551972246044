// The distribution a token is drawn from: what temperature, top-k, top-p and min-p make of a row of
// logits. The sampler and the loss call the same function, so that the loss's log-probabilities are
// those of the distribution that was really sampled from.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "tensor/tensor.h"

namespace r1 {

struct SamplingParams {
  double temperature = 1.0;  // 0: the most likely token
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;        // 1: off
  double min_p = 0.0;        // 0: off

  template <class V>
  void visit(V& v) {
    v("temperature", temperature, "softmax temperature; 0 takes the most likely token");
    v("top_k", top_k, "keep the k most likely tokens; 0 keeps all");
    v("top_p", top_p, "keep the most likely tokens that together reach this probability");
    v("min_p", min_p, "keep tokens at least this fraction as likely as the most likely one");
  }
  bool operator==(const SamplingParams&) const = default;

  // InputError if a value is out of range.
  void check() const;
  // Whether logits are left as they are.
  bool plain() const { return temperature == 1.0 && top_k == 0 && top_p >= 1.0 && min_p <= 0.0; }
};

// Divides a row of V logits by the temperature (0 acts as a mask that keeps the first of the
// largest logits), then sets those that the filters drop to -inf: top-k, then top-p of what is
// left, then min-p, in the order of llama.cpp and transformers. Ties are kept by lower id first, so
// that the result is a pure function of the row.
void shape_logits(const SamplingParams& params, float* row, int64_t vocab);

}  // namespace r1
