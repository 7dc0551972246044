// The distribution a token is drawn from: what temperature, top-k, top-p and min-p make of a row of
// logits. The sampler and the loss shape logits by the same op, so that the loss's
// log-probabilities are those of the distribution that was really sampled from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "base/error.h"

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
  // The same without top-k, top-p and min-p.
  SamplingParams unfiltered() const { return {.temperature = temperature}; }
  bool greedy() const { return temperature == 0.0; }
  // What Ops::shape_logits makes of a row: logits divided by the temperature (0 acts as a mask that
  // keeps the first of the largest), then top-k, top-p of what is left and min-p, in the order of
  // llama.cpp and transformers.
  LogitShape shape() const;
};

// Rows of logits as what tokens are drawn from, each by parameters of its own.
//
// A row at temperature 0 has all probability on its most likely token, which one pass over it
// finds: it is neither masked nor are sums taken of it, and everything is as if they were.
class TokenDistributions {
 public:
  // Shapes logits [R, V] in place. They and ops must outlive it.
  TokenDistributions(Ops& ops, Tensor logits, std::span<const SamplingParams* const> params);

  // A token of each row, drawn at uniform[r] in [0, 1).
  void sample(const float* uniform, int32_t* token) const;
  // The log-probability of any token of each row.
  void score(std::span<const int32_t> token, float* logprob) const;

 private:
  // Neighbours that are greedy, or are not.
  struct Run {
    int64_t row, count;
    bool greedy;
  };

  Ops& ops_;
  Tensor logits_;
  std::vector<Run> runs_;
  std::vector<int32_t> likeliest_;  // of greedy rows
  std::vector<float> value_;        // its logit
};

// argmax, brought to the host.
void find_likeliest(Ops& ops, ConstTensor logits, int32_t* token, float* value);

// The log-probability of `token` where the most likely one, whose logit is `value`, has it all.
// NaN if the logit is no number.
float greedy_logprob(int32_t token, int32_t likeliest, float value);

}  // namespace r1
