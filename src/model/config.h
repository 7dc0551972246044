// What a decoder is: the fields of a Hugging Face config.json that the forward pass reads, and the
// table of architectures that it can be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace r1 {

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM", a row of the table in config.cc
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // on q, k and v (Qwen2)
  bool qk_norm = false;         // RMSNorm of each head of q and k before RoPE (Qwen3)
  std::vector<int32_t> eos_token_ids;

  int64_t query_width() const { return num_attention_heads * head_dim; }
  int64_t kv_width() const { return num_key_value_heads * head_dim; }
  int64_t qkv_width() const { return query_width() + 2 * kv_width(); }
  int64_t parameters() const;
  // Multiply-adds count as two: the products' FLOPs of one token's forward pass, attention over
  // `context` keys included.
  double forward_flops(double context) const;
};

// From config.json's object. InputError names `where`, the field, what was expected and what came.
ModelConfig parse_model_config(const Json& json, const std::string& where);

// The config.json that transformers reads.
Json model_config_json(const ModelConfig& config);

// One trained matrix or vector: ours is `rows` x `cols` (cols = 1 for a vector), stored in Hugging
// Face files as one or several tensors stacked by rows (q, k and v; gate and up).
struct ParameterSpec {
  struct Part {
    std::string name;  // in the Hugging Face file
    int64_t rows;
  };
  std::string name;  // ours, e.g. "layers.3.attention.qkv"
  int64_t rows = 0, cols = 0;
  bool vector = false;
  std::vector<Part> parts;
  int64_t size() const { return rows * cols; }
};

// All parameters in the order they are stored: embedding, blocks, final norm, head.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

std::vector<std::string> architecture_names();

}  // namespace r1
