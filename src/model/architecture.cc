#include "model/architecture.h"

#include "base/error.h"

namespace r1 {
namespace {

constexpr const Architecture* kArchitectures[] = {&kLlama,    &kQwen2,      &kQwen3,
                                                  &kQwen3Moe, &kDeepseekV2, &kDeepseekV3};

// What head_dim is where the file does not say.
int64_t default_head_dim(const ConfigReader& in, const ModelConfig& c) {
  if (!in.has("head_dim") && c.hidden_size % c.num_attention_heads != 0) {
    throw InputError(in.where() + ": hidden_size (" + std::to_string(c.hidden_size) +
                     ") must be a multiple of num_attention_heads (" +
                     std::to_string(c.num_attention_heads) + ") where there is no head_dim");
  }
  return c.hidden_size / c.num_attention_heads;
}

}  // namespace

const Architecture& find_architecture(const std::string& name, const std::string& where) {
  std::string known;
  for (const Architecture* a : kArchitectures) {
    if (name == a->name) return *a;
    known += (known.empty() ? "" : ", ") + std::string(a->name);
  }
  throw InputError(where + ": architecture " + in_quotes(name) + " is not one of " + known);
}

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture* a : kArchitectures) names.emplace_back(a->name);
  return names;
}

void read_grouped_query(const ConfigReader& in, ModelConfig& c) {
  c.num_key_value_heads = in.integer("num_key_value_heads", 1, 1024, c.num_attention_heads);
  c.head_dim = in.integer("head_dim", 2, 1024, default_head_dim(in, c));
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    throw InputError(in.where() + ": num_attention_heads (" +
                     std::to_string(c.num_attention_heads) +
                     ") must be a multiple of num_key_value_heads (" +
                     std::to_string(c.num_key_value_heads) + ")");
  }
  if (c.head_dim < 2 || c.head_dim % 2 != 0) {
    throw InputError(in.where() + ": head_dim must be even for RoPE, not " +
                     std::to_string(c.head_dim));
  }
}

void write_grouped_query(const ModelConfig& c, Json& json) {
  json["num_key_value_heads"] = c.num_key_value_heads;
  json["head_dim"] = c.head_dim;
}

void read_experts(const ConfigReader& in, const char* count_field, bool normalize, ModelConfig& c) {
  c.routed_experts = in.integer(count_field, 1, kMaxExperts);
  c.num_experts_per_tok = in.integer("num_experts_per_tok", 1, c.routed_experts);
  c.moe_intermediate_size = in.integer("moe_intermediate_size", 1, 1 << 22);
  c.norm_topk_prob = in.boolean("norm_topk_prob", normalize);
  // Each expert is two parameters of the table, before any file bears it out.
  if (c.routed_experts * c.num_hidden_layers > 1 << 16) {
    in.refuse(count_field, "times num_hidden_layers must be at most 65536");
  }
}

void write_experts(const ModelConfig& c, const char* count_field, Json& json) {
  json[count_field] = c.routed_experts;
  json["num_experts_per_tok"] = c.num_experts_per_tok;
  json["moe_intermediate_size"] = c.moe_intermediate_size;
  json["norm_topk_prob"] = c.norm_topk_prob;
}

void read_deepseek(const ConfigReader& in, bool normalize, ModelConfig& c) {
  in.require("attention_bias", false);
  in.require("ep_size", 1);
  in.require("moe_layer_freq", 1);
  in.require("rope_interleave", true);
  in.require("num_key_value_heads", c.num_attention_heads);
  constexpr int64_t kWide = 1 << 20, kHead = 1024;
  c.q_lora_rank = in.integer("q_lora_rank", 1, kWide, 0);
  c.kv_lora_rank = in.integer("kv_lora_rank", 1, kWide);
  c.qk_nope_head_dim = in.integer("qk_nope_head_dim", 1, kHead);
  c.qk_rope_head_dim = in.integer("qk_rope_head_dim", 2, kHead);
  c.v_head_dim = in.integer("v_head_dim", 1, kHead);
  if (c.qk_rope_head_dim % 2 != 0) in.refuse("qk_rope_head_dim", "must be even");
  read_experts(in, "n_routed_experts", normalize, c);
  c.shared_experts = in.integer("n_shared_experts", 0, kMaxExperts, 0);
  c.first_k_dense_replace = in.integer("first_k_dense_replace", 0, 1024, 0);
  c.routed_scaling_factor = in.number("routed_scaling_factor", 0.0, 1e6, 1.0);
}

// The groups that the choice of experts is limited to.
void read_expert_groups(const ConfigReader& in, ModelConfig& c) {
  c.n_group = in.integer("n_group", 1, c.routed_experts, 1);
  c.topk_group = in.integer("topk_group", 1, c.n_group, 1);
  if (c.routed_experts % c.n_group != 0) in.refuse("n_group", "must divide n_routed_experts");
  if (c.num_experts_per_tok > c.routed_experts / c.n_group * c.topk_group) {
    in.refuse("num_experts_per_tok", "is more than topk_group groups of experts hold");
  }
}

void write_deepseek(const ModelConfig& c, Json& json) {
  json["num_key_value_heads"] = c.num_attention_heads;
  json["attention_bias"] = false;
  json["q_lora_rank"] = c.q_lora_rank > 0 ? Json(c.q_lora_rank) : Json();
  json["kv_lora_rank"] = c.kv_lora_rank;
  json["qk_nope_head_dim"] = c.qk_nope_head_dim;
  json["qk_rope_head_dim"] = c.qk_rope_head_dim;
  json["v_head_dim"] = c.v_head_dim;
  write_experts(c, "n_routed_experts", json);
  json["n_shared_experts"] = c.shared_experts;
  json["first_k_dense_replace"] = c.first_k_dense_replace;
  json["moe_layer_freq"] = 1;
  json["routed_scaling_factor"] = c.routed_scaling_factor;
  json["topk_method"] = c.topk_method;
  json["n_group"] = c.n_group;
  json["topk_group"] = c.topk_group;
}

void standard_block(ParameterTable& table, int64_t layer, Block& block) {
  const ModelConfig& c = table.config();
  table.vector("attention_norm", block.attention_norm, {{"input_layernorm.weight", c.hidden_size}});
  if (c.mla()) {
    table.attention(block.attention.emplace<Mla>());
  } else {
    table.attention(block.attention.emplace<Gqa>());
  }
  table.vector("mlp_norm", block.mlp_norm, {{"post_attention_layernorm.weight", c.hidden_size}});
  if (c.sparse(layer)) {
    table.mlp(block.mlp.emplace<Moe>());
  } else {
    table.mlp(block.mlp.emplace<Swiglu>());
  }
}

}  // namespace r1
