#include "bench/estimate.h"

#include <algorithm>
#include <cmath>

#include "backend/attention_heads.h"
#include "model/batch.h"
#include "model/token_scores.h"
#include "model/weights.h"

namespace r1 {
namespace {

constexpr double kFloat = sizeof(float);

double to_double(int64_t n) {
  return static_cast<double>(n);
}

bool is_embedding(const ParameterSpec& p) {
  return p.name == "embedding";
}

bool is_head(const ModelConfig& c, const ParameterSpec& p) {
  return p.name == (c.tie_word_embeddings ? "embedding" : "head");
}

double stored_bytes(const ModelConfig& c, const ParameterSpec& p, DType dtype) {
  if (p.vector || p.exact || (c.mla() && p.name.ends_with(".kv_b"))) {
    return kFloat * to_double(p.size());
  }
  const bool whole = p.cols % dtype_block(dtype) == 0;
  return static_cast<double>(dtype_bytes(whole ? dtype : DType::kQ8_0, p.size()));
}

// That at least one of so many rows uses the parameter.
double chance(const ParameterSpec& p, int64_t rows) {
  return p.share == 1 ? 1 : 1 - std::pow(1 - p.share, to_double(rows));
}

// --- activations, in floats a row ---

// What the parts of a block keep for backward (their Saved), and what their backward takes besides.
struct RowFloats {
  double saved = 0, backward = 0;
};

RowFloats attention_floats(const ModelConfig& c) {
  const double heads = to_double(c.num_attention_heads);
  if (!c.mla()) {
    const double q = to_double(c.query_width()), kv = to_double(c.kv_width());
    const double norms = c.qk_norm ? q + kv + heads + to_double(c.num_key_value_heads) : 0;
    return {(q + 2 * kv) + norms + q + heads, q + (q + 2 * kv) + 2 * kv};
  }
  const double q_lora = to_double(c.q_lora_rank), latent = to_double(c.latent_width());
  const double q = heads * to_double(c.qk_head_dim()), values = heads * to_double(c.v_head_dim);
  const double first = (q_lora > 0 ? q_lora : q) + latent;
  const double compressed = q_lora > 0 ? q_lora + q + 1 : 0;
  const double absorbed = heads * (latent + to_double(c.kv_lora_rank));
  return {first + latent + values + compressed + absorbed + heads + 1,
          latent + values + first + latent + compressed + absorbed};
}

RowFloats mlp_floats(const ModelConfig& c, int64_t layer) {
  if (!c.sparse(layer)) {
    const double width = 3 * to_double(c.intermediate_size);
    return {width, width};
  }
  const double k = to_double(c.num_experts_per_tok), hidden = to_double(c.hidden_size);
  const double width = 3 * to_double(c.moe_intermediate_size);
  const double shared = to_double(c.shared_experts) * width, experts = to_double(c.routed_experts);
  return {experts + k * (1 + 2 * hidden + width) + shared,
          experts + k * (1 + hidden + width) + shared + (shared > 0 ? hidden : 0)};
}

// Of a training step: the residual stream at each block, all blocks' saved values or one's, and the
// larger of what one part's backward takes (the two run one after the other).
double activation_floats(const ModelConfig& c, bool recompute) {
  const double hidden = to_double(c.hidden_size);
  double saved = 0, most = 0, backward = 0;
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const RowFloats a = attention_floats(c), m = mlp_floats(c, layer);
    const double block = 3 * hidden + 2 + a.saved + m.saved;
    saved += block;
    most = std::max(most, block);
    backward = std::max({backward, a.backward, m.backward});
  }
  const double stream = to_double(c.num_hidden_layers + 3) * hidden;
  // A recomputed block writes its output too, which nobody reads.
  return stream + (recompute ? most + hidden : saved) + hidden + backward;
}

// --- time ---

double attention_flops(const ModelConfig& c, double context) {
  return c.forward_flops(context) - c.forward_flops(0);
}

// What the attention of `sequences` of `rows` rows is cut into before heads are: KV heads, 32 rows.
int64_t attention_runs(const ModelConfig& c, int64_t sequences, int64_t rows) {
  return sequences * c.kv_shape().kv_heads * ((rows + 31) / 32);
}
int64_t heads_a_run(const ModelConfig& c) {
  return c.num_attention_heads / c.kv_shape().kv_heads;
}

// The shares of the limits that are reached: products of many rows, of few rows, of a training step
// (a third of them gradients of weights), reading weights, attention's arithmetic (in float32), its
// reading of keys and values, an optimizer's update.
struct Shares {
  double many, few, train, read, attention, keys, update;
};
Shares shares_of(DType dtype) {
  if (dtype_block(dtype) > 1) return {0.68, 0.58, 0.00, 0.95, 0.60, 0.75, 0.80};
  return {0.92, 0.88, 0.80, 0.95, 0.60, 0.75, 0.80};
}
constexpr int64_t kFewRows = 96;

}  // namespace

double file_bytes(const ModelConfig& c, DType dtype) {
  double bytes = 0;
  for (const ParameterSpec& p : parameter_specs(c)) bytes += stored_bytes(c, p, dtype);
  return bytes;
}

double pass_weight_bytes(const ModelConfig& c, DType dtype, int64_t rows) {
  double bytes = 0;
  for (const ParameterSpec& p : parameter_specs(c)) {
    if (p.vector || (is_embedding(p) && !is_head(c, p))) continue;
    bytes += stored_bytes(c, p, dtype) * chance(p, rows);
  }
  return bytes;
}

double expected_part(const ModelConfig& c, int64_t rows) {
  if (c.routed_experts == 0) return 1;
  return pass_weight_bytes(c, DType::kF32, rows) / pass_weight_bytes(c, DType::kF32, 1 << 30);
}

double kv_bytes(const ModelConfig& c, double positions) {
  return positions * to_double(KvCache::page_bytes(c, c.num_hidden_layers)) / kPageSize;
}

std::vector<MemoryPart> training_memory(const ModelConfig& c, DType dtype, int64_t tokens,
                                        bool recompute) {
  double masters = 0, packed = 0;
  for (const ParameterSpec& p : parameter_specs(c)) {
    masters += kFloat * to_double(p.size());
    if (p.vector || (is_embedding(p) && !is_head(c, p))) continue;
    packed += static_cast<double>(dtype_bytes(p.exact ? DType::kF32 : dtype, p.size()));
  }
  const double rows = to_double(tokens), hidden = to_double(c.hidden_size);
  return {{"weights: masters, packed, transposed", masters + 2 * packed},
          {"gradients", masters},
          {"AdamW's moments", 2 * masters},
          {recompute ? "activations, recomputed" : "activations, kept",
           kFloat * rows * activation_floats(c, recompute)},
          {"keys and values", kv_bytes(c, rows)},
          {"hidden states", kFloat * 2 * rows * hidden},
          {"logits", kFloat * to_double(std::min(kLogitRows, tokens) * c.vocab_size)}};
}

std::vector<MemoryPart> inference_memory(const ModelConfig& c, DType dtype, int64_t context) {
  return {{"weights in place", file_bytes(c, dtype)},
          {"keys and values", kv_bytes(c, to_double(context))}};
}

double flops_without_head(const ModelConfig& c, double context) {
  return c.forward_flops(context) - 2 * to_double(c.vocab_size * c.hidden_size);
}

PassCost prefill_cost(const ModelConfig& c, double weight_bytes, int64_t tokens) {
  const double rows = to_double(tokens);
  return {.rows = tokens,
          .flops = (rows - 1) * flops_without_head(c, 0) + c.forward_flops(0),
          .attention_flops = rows * attention_flops(c, rows / 2),
          .weight_bytes = weight_bytes * expected_part(c, tokens),
          .attention_runs = attention_runs(c, 1, tokens),
          .heads_a_run = heads_a_run(c)};
}

PassCost decode_cost(const ModelConfig& c, double weight_bytes, double context) {
  return group_cost(c, weight_bytes, 1, 0, context);
}

PassCost group_cost(const ModelConfig& c, double weight_bytes, int64_t n, double prompt,
                    double own) {
  const double rows = to_double(n);
  return {.rows = n,
          .flops = rows * c.forward_flops(0),
          .attention_flops = rows * attention_flops(c, prompt + own),
          .weight_bytes = weight_bytes * expected_part(c, n),
          .kv_bytes = kv_bytes(c, prompt + rows * own),
          .attention_runs = attention_runs(c, n, 1),
          .heads_a_run = heads_a_run(c)};
}

PassCost training_cost(const ModelConfig& c, DType dtype, int64_t tokens, int64_t length,
                       bool recompute) {
  const double rows = to_double(tokens), passes = recompute ? 4 : 3;
  const double parameters = to_double(c.parameters());
  // The norm reads the gradient; AdamW reads it, and reads and writes the weight and two moments;
  // it is cleared; packing reads the weight and writes it twice.
  const double touched = 4 + 28 + 4 + 4 + 2 * static_cast<double>(dtype_bytes(dtype, 1));
  return {.rows = tokens,
          .flops = passes * rows * c.forward_flops(0),
          .attention_flops = passes * rows * attention_flops(c, to_double(length) / 2),
          .update_bytes = touched * parameters,
          .attention_runs = attention_runs(c, (tokens + length - 1) / length, length),
          .heads_a_run = heads_a_run(c)};
}

double PassTime::seconds() const {
  return std::hypot(compute, read) + attention + update;
}

const char* PassTime::bound() const {
  const double most = std::max({compute, read, attention, update});
  return most == compute  ? "compute"
         : most == read   ? "memory"
         : most == update ? "update"
                          : "attention";
}

PassTime predict(const PassCost& cost, const Roof& roof, DType dtype) {
  const Shares s = shares_of(dtype);
  const int64_t heads = attention_heads(cost.heads_a_run, cost.attention_runs, roof.threads);
  const int64_t tasks = cost.attention_runs * ((cost.heads_a_run + heads - 1) / heads);
  const double used = std::min(1.0, to_double(tasks) / static_cast<double>(roof.threads));
  const double products = cost.update_bytes > 0 ? s.train : cost.rows < kFewRows ? s.few : s.many;
  return {.compute = cost.flops / (roof.peak(dtype) * products),
          .read = cost.weight_bytes / (roof.read * s.read),
          .attention = std::max(cost.attention_flops / (roof.f32 * used * s.attention),
                                cost.kv_bytes / (roof.read * s.keys)),
          .update = cost.update_bytes / (roof.update * s.update)};
}

Roof scaled_roof(const Roof& measured, int cores, double peak, double read, DType dtype) {
  Roof r = measured;
  r.threads = cores;
  r.f32 = r.core_f32 * cores;
  r.bf16 = r.core_bf16 * cores;
  r.int8 = r.core_int8 * cores;
  if (peak > 0) {
    const double factor = peak / r.peak(dtype);
    for (double Roof::*limit : {&Roof::f32, &Roof::bf16, &Roof::int8}) r.*limit *= factor;
  }
  if (read > 0) {
    r.update *= read / r.read;
    r.copy *= read / r.read;
    r.read = read;
  }
  return r;
}

}  // namespace r1
