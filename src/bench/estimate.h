// What a model's shape demands before anything runs: bytes by part, and the time of a pass on a
// machine of given limits. docs/performance.md ("Growth") holds both against what is measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/roof.h"
#include "model/config.h"

namespace r1 {

// --- memory ---

struct MemoryPart {
  std::string name;
  double bytes = 0;
};

// Bytes of the matrices in a file of `dtype`, with a wider type where rows are no whole number of
// its blocks (random_files); and of those that a pass of `rows` rows reads: the embedding as far as
// it is the head, experts as many as the rows' choices are expected to meet. Routers are float32,
// as is latent attention's kv_b, which a model opened in place takes apart.
double file_bytes(const ModelConfig& config, DType dtype);
double pass_weight_bytes(const ModelConfig& config, DType dtype, int64_t rows);
// Of all matrices that a token may use, the part that a pass of `rows` rows does: 1 where no
// experts are chosen.
double expected_part(const ModelConfig& config, int64_t rows);

double kv_bytes(const ModelConfig& config, double positions);

// Of a model that trains on `tokens` tokens a micro-batch: weights (masters, packed for the forward
// and for the backward pass), gradients, moments; what the backward pass needs of the forward pass,
// or, with recomputation, block inputs and one block's; keys and values; logits.
std::vector<MemoryPart> training_memory(const ModelConfig& config, DType dtype, int64_t tokens,
                                        bool recompute);
// Of a model opened in place with a cache of `context` positions.
std::vector<MemoryPart> inference_memory(const ModelConfig& config, DType dtype, int64_t context);

// --- time ---

// FLOPs of a token that has no logits.
double flops_without_head(const ModelConfig& config, double context);

// What a pass cannot do without. Multiply-adds count as two.
struct PassCost {
  int64_t rows = 0;
  double flops = 0;                                         // of products
  double attention_flops = 0;                               // float32
  double weight_bytes = 0, kv_bytes = 0, update_bytes = 0;  // the last of an optimizer step
  int64_t attention_runs = 1, heads_a_run = 1;  // KV heads times runs of rows; their query heads

  double bytes() const { return weight_bytes + kv_bytes; }
};

// The tests of model_bench.h. `weight_bytes`: that a token's pass may read.
PassCost prefill_cost(const ModelConfig& config, double weight_bytes, int64_t tokens);
PassCost decode_cost(const ModelConfig& config, double weight_bytes, double context);
// n completions of a prompt that they share, each of which has `own` tokens.
PassCost group_cost(const ModelConfig& config, double weight_bytes, int64_t n, double prompt,
                    double own);
PassCost training_cost(const ModelConfig& config, DType dtype, int64_t tokens, int64_t length,
                       bool recompute);

// Seconds, part by part. Reading and computing overlap, but not wholly: what they take by
// themselves, each at the share of its limit that was measured, adds up like the sides of a right
// angle.
struct PassTime {
  double compute = 0, read = 0;  // of products
  double attention = 0, update = 0;

  double seconds() const;
  const char* bound() const;  // "compute", "memory", "attention" or "update": the largest
};
PassTime predict(const PassCost& cost, const Roof& roof, DType dtype);

// The limits of a machine with so many cores that are like those measured, and, where they are
// given (not 0), another peak of products in `dtype` (FLOP/s on all cores; those in other types
// follow in proportion) and another reading speed (bytes/s).
Roof scaled_roof(const Roof& measured, int cores, double peak, double read, DType dtype);

}  // namespace r1
