// What a decoder is: the fields of a Hugging Face config.json that the forward pass reads. Names
// are those of config.json; what an architecture has not is zero or empty.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "backend/ops.h"
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

  // --- multi-head latent attention (DeepSeek); kv_lora_rank > 0 ---
  int64_t q_lora_rank = 0;  // 0: queries are not compressed (V2-Lite)
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  // Not of the file: which of its two forms a run computes (attention_mla.h).
  bool mla_expanded = false;

  bool mla() const { return kv_lora_rank > 0; }
  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  // The latent vector and the rotated key that all heads share: what the cache keeps of a token.
  int64_t latent_width() const { return kv_lora_rank + qk_rope_head_dim; }

  // --- mixture of experts; routed_experts > 0 ---
  int64_t routed_experts = 0;  // n_routed_experts, num_experts
  int64_t num_experts_per_tok = 0;
  int64_t moe_intermediate_size = 0;  // of an expert
  int64_t shared_experts = 0;         // n_shared_experts: that many experts' width, for every token
  int64_t first_k_dense_replace = 0;  // the first layers are dense (DeepSeek)
  int64_t decoder_sparse_step = 1;    // each so-manieth layer is not (Qwen3)
  std::vector<int64_t> mlp_only_layers;  // these are dense all the same (Qwen3)
  bool norm_topk_prob = false;
  double routed_scaling_factor = 1;
  std::string topk_method;  // DeepSeek's "greedy", "group_limited_greedy" or "noaux_tc"
  int64_t n_group = 1, topk_group = 1;

  bool sigmoid_routing() const { return topk_method == "noaux_tc"; }
  bool sparse(int64_t layer) const;

  // Elements of a head that RoPE turns.
  int64_t rope_dim() const { return mla() ? qk_rope_head_dim : head_dim; }
  // Not of the file: how the cache holds keys and values, in training as in inference.
  KvType kv_cache_dtype = KvType::kF32;
  // What a layer's cache holds of a token, without memory.
  KvLayer kv_shape() const;

  int64_t parameters() const;
  // Those that one token's forward pass uses.
  int64_t active_parameters() const;
  // Multiply-adds count as two: the products' FLOPs of one token's forward pass, attention over
  // `context` keys included.
  double forward_flops(double context) const;
};

// Of kv_cache_dtype. InputError says `where` the name stood.
std::vector<std::string> kv_type_names();
KvType parse_kv_type(const std::string& name, const std::string& where);

// From config.json's object. InputError names `where`, the field, what was expected and what came.
ModelConfig parse_model_config(const Json& json, const std::string& where);

// That of a Hugging Face folder.
ModelConfig read_model_config(const std::filesystem::path& folder);

// The config.json that transformers reads.
Json model_config_json(const ModelConfig& config);

std::vector<std::string> architecture_names();

}  // namespace r1
