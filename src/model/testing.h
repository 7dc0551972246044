// For tests only: a small model's config of any architecture.
#pragma once

#include <string>

#include "model/config.h"

namespace r1 {

// Every field that any architecture reads, by its name in config.json; each takes its own. Widths
// divide by nothing; there are a dense layer and sparse ones, and more groups than are chosen from.
inline ModelConfig any_config(const std::string& architecture, const Json& fields = {}) {
  const bool v2 = architecture == "DeepseekV2ForCausalLM";
  const bool deepseek = v2 || architecture == "DeepseekV3ForCausalLM";
  Json json = {{"architectures", {architecture}},
               {"hidden_size", 40},
               {"num_hidden_layers", 2},
               {"num_attention_heads", 6},
               {"num_key_value_heads", deepseek ? 6 : 2},
               {"head_dim", 20},
               {"intermediate_size", 56},
               {"vocab_size", 101},
               {"max_position_embeddings", 256},
               {"kv_lora_rank", 21},
               {"qk_nope_head_dim", 12},
               {"qk_rope_head_dim", 6},
               {"v_head_dim", 10},
               {"num_experts", 5},
               {"n_routed_experts", 8},
               {"num_experts_per_tok", 3},
               {"moe_intermediate_size", 24},
               {"n_shared_experts", 2},
               {"first_k_dense_replace", 1},
               {"mlp_only_layers", {0}},
               {"norm_topk_prob", !v2},
               {"routed_scaling_factor", 1.5},
               {"n_group", 4},
               {"topk_group", 2}};
  if (v2) json["topk_method"] = "group_limited_greedy";
  if (!v2) json["q_lora_rank"] = 24;
  if (!fields.is_null()) json.update(fields);
  if (deepseek) json["num_key_value_heads"] = json["num_attention_heads"];
  return parse_model_config(json, "any_config");
}

// What a test wants to know of the backend's memory.
inline std::vector<float> downloaded(Ops& ops, std::span<const float> values) {
  std::vector<float> host(values.size());
  ops.download(values.data(), host.data(), values.size_bytes());
  return host;
}

// f gets the masters, and may change them.
template <class F>
void change_masters(Model& model, Ops& ops, F&& f) {
  std::vector<float> masters = downloaded(ops, model.masters());
  f(std::span<float>(masters));
  ops.upload(masters.data(), model.masters().data(), model.masters().size_bytes());
  model.repack(ops);
}

}  // namespace r1
