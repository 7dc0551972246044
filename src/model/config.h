// What a decoder is: the fields of a Hugging Face config.json that the forward pass reads. Names
// are those of config.json; what an architecture has not is zero or empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "model/rope.h"

namespace r1 {

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM", a row of the table in architecture.cc
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;  // of a dense feed-forward part
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  std::vector<int32_t> eos_token_ids;

  // --- grouped-query attention ---
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  bool attention_bias = false;  // on q, k and v (Qwen2)
  bool qk_norm = false;         // RMSNorm of each head of q and k before RoPE (Qwen3)

  int64_t query_width() const { return num_attention_heads * head_dim; }
  int64_t kv_width() const { return num_key_value_heads * head_dim; }
  int64_t qkv_width() const { return query_width() + 2 * kv_width(); }

  // Elements of a head that RoPE turns.
  int64_t rope_dim() const { return head_dim; }

  int64_t parameters() const;
  // Multiply-adds count as two: the products' FLOPs of one token's forward pass, attention over
  // `context` keys included.
  double forward_flops(double context) const;
};

// From config.json's object. InputError names `where`, the field, what was expected and what came.
ModelConfig parse_model_config(const Json& json, const std::string& where);

// The config.json that transformers reads.
Json model_config_json(const ModelConfig& config);

std::vector<std::string> architecture_names();

}  // namespace r1
