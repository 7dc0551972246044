#include "model/weights.h"

#include <cmath>

#include "model/architecture.h"

namespace r1 {
namespace {

using Parts = std::vector<ParameterSpec::Part>;

constexpr double kDeviation = 0.02;

}  // namespace

void ParameterTable::prefix(std::string ours, std::string theirs) {
  ours_ = std::move(ours);
  theirs_ = std::move(theirs);
}

ParameterSpec& ParameterTable::add(const std::string& name, int64_t cols, Parts parts,
                                   Parameter::Slot slot) {
  ParameterSpec spec;
  spec.name = ours_ + name;
  spec.cols = cols;
  for (auto& part : parts) {
    part.name = theirs_ + part.name;
    spec.rows += part.rows;
  }
  spec.parts = std::move(parts);
  rows_.push_back({std::move(spec), std::move(slot)});
  return rows_.back().spec;
}

ParameterSpec& ParameterTable::vector(const std::string& name, std::span<float>& slot,
                                      Parts parts) {
  ParameterSpec& spec = add(name, 1, std::move(parts), &slot);
  spec.vector = true;
  spec.initial = 1;
  return spec;
}

ParameterSpec& ParameterTable::bias(const std::string& name, Linear& slot, Parts parts) {
  ParameterSpec& spec = add(name, 1, std::move(parts), &slot.bias);
  spec.vector = true;
  return spec;
}

ParameterSpec& ParameterTable::matrix(const std::string& name, Linear& slot, int64_t cols,
                                      Parts parts) {
  int64_t rows = 0;
  for (const auto& part : parts) rows += part.rows;
  ParameterSpec& spec =
      add(name, cols, std::move(parts), std::vector<Parameter::Rows>{{&slot, 0, rows}});
  spec.initial = kDeviation;
  return spec;
}

ParameterSpec& ParameterTable::branch_end(const std::string& name, Linear& slot, int64_t cols,
                                          Parts parts) {
  ParameterSpec& spec = matrix(name, slot, cols, std::move(parts));
  spec.initial *= 1.0 / std::sqrt(2.0 * static_cast<double>(config_.num_hidden_layers));
  return spec;
}

ParameterSpec& ParameterTable::embedding(const std::string& name, Tensor& slot, Parts parts) {
  ParameterSpec& spec = add(name, config_.hidden_size, std::move(parts), &slot);
  spec.initial = kDeviation;
  return spec;
}

void ParameterTable::attention(Gqa& a) {
  const ModelConfig& c = config_;
  const std::string hf = "self_attn.";
  matrix("qkv", a.qkv, c.hidden_size,
         {{hf + "q_proj.weight", c.query_width()},
          {hf + "k_proj.weight", c.kv_width()},
          {hf + "v_proj.weight", c.kv_width()}});
  if (c.attention_bias) {
    bias("qkv_bias", a.qkv,
         {{hf + "q_proj.bias", c.query_width()},
          {hf + "k_proj.bias", c.kv_width()},
          {hf + "v_proj.bias", c.kv_width()}});
  }
  if (c.qk_norm) {
    vector("q_norm", a.q_norm, {{hf + "q_norm.weight", c.head_dim}});
    vector("k_norm", a.k_norm, {{hf + "k_norm.weight", c.head_dim}});
  }
  branch_end("attention_out", a.out, c.query_width(), {{hf + "o_proj.weight", c.hidden_size}});
}

void ParameterTable::attention(Mla& a) {
  const ModelConfig& c = config_;
  const std::string hf = "self_attn.";
  const int64_t heads = c.num_attention_heads, q_width = heads * c.qk_head_dim();
  const bool compressed = c.q_lora_rank > 0;
  matrix("qkv_a", a.qkv_a, c.hidden_size,
         {compressed ? ParameterSpec::Part{hf + "q_a_proj.weight", c.q_lora_rank}
                     : ParameterSpec::Part{hf + "q_proj.weight", q_width},
          {hf + "kv_a_proj_with_mqa.weight", c.latent_width()}});
  if (compressed) {
    vector("q_norm", a.q_norm, {{hf + "q_a_layernorm.weight", c.q_lora_rank}});
    matrix("q_b", a.q_b, c.q_lora_rank, {{hf + "q_b_proj.weight", q_width}});
  }
  vector("kv_norm", a.kv_norm, {{hf + "kv_a_layernorm.weight", c.kv_lora_rank}});
  const int64_t keys = c.qk_nope_head_dim, values = c.v_head_dim;
  matrix("kv_b", a.kv_b, c.kv_lora_rank, {{hf + "kv_b_proj.weight", heads * (keys + values)}});
  if (!c.mla_expanded) {
    std::vector<Parameter::Rows> slots;
    a.k_b.resize(static_cast<size_t>(heads));
    a.v_b.resize(static_cast<size_t>(heads));
    for (int64_t h = 0; h < heads; ++h) {
      Linear &k = a.k_b[static_cast<size_t>(h)], &v = a.v_b[static_cast<size_t>(h)];
      k.flipped = true;
      slots.push_back({&k, h * (keys + values), keys});
      slots.push_back({&v, h * (keys + values) + keys, values});
    }
    rows_.back().slot = std::move(slots);
  }
  branch_end("attention_out", a.out, heads * values, {{hf + "o_proj.weight", c.hidden_size}});
}

void ParameterTable::mlp(Swiglu& w, int64_t width, const std::string& ours,
                         const std::string& theirs) {
  matrix(ours + "gate_up", w.gate_up, config_.hidden_size,
         {{theirs + "gate_proj.weight", width}, {theirs + "up_proj.weight", width}});
  branch_end(ours + "down", w.down, width, {{theirs + "down_proj.weight", config_.hidden_size}});
}

void ParameterTable::mlp(Swiglu& w) {
  mlp(w, config_.intermediate_size, "", "mlp.");
}

void ParameterTable::mlp(Moe& w) {
  const ModelConfig& c = config_;
  matrix("router", w.router, c.hidden_size, {{"mlp.gate.weight", c.routed_experts}}).exact = true;
  if (c.sigmoid_routing()) {
    ParameterSpec& bias = vector("correction_bias", w.correction_bias,
                                 {{"mlp.gate.e_score_correction_bias", c.routed_experts}});
    bias.initial = 0;
    bias.trained = false;
  }
  w.experts.resize(static_cast<size_t>(c.routed_experts));
  const size_t first = rows_.size();
  for (size_t e = 0; e < w.experts.size(); ++e) {
    const std::string name = "experts." + std::to_string(e) + ".";
    mlp(w.experts[e], c.moe_intermediate_size, name, "mlp." + name);
  }
  for (size_t i = first; i < rows_.size(); ++i) {
    rows_[i].spec.share =
        static_cast<double>(c.num_experts_per_tok) / static_cast<double>(c.routed_experts);
  }
  if (c.shared_experts > 0) {
    mlp(w.shared.emplace_back(), c.shared_experts * c.moe_intermediate_size, "shared.",
        "mlp.shared_experts.");
  }
}

std::vector<Parameter> parameter_table(const ModelConfig& c, Weights& weights) {
  const Architecture& architecture = find_architecture(c.architecture, "model config");
  ParameterTable table(c);
  weights.blocks.clear();
  weights.blocks.resize(static_cast<size_t>(c.num_hidden_layers));
  table.embedding("embedding", weights.embedding, {{"model.embed_tokens.weight", c.vocab_size}});
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    table.prefix(layer, "model." + layer);
    architecture.block(table, i, weights.blocks[static_cast<size_t>(i)]);
  }
  table.prefix("", "");
  table.vector("final_norm", weights.final_norm, {{"model.norm.weight", c.hidden_size}});
  if (!c.tie_word_embeddings) {
    table.matrix("head", weights.head, c.hidden_size, {{"lm_head.weight", c.vocab_size}});
  }
  return table.take();
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  Weights unbound;
  std::vector<ParameterSpec> specs;
  for (Parameter& p : parameter_table(config, unbound)) specs.push_back(std::move(p.spec));
  return specs;
}

}  // namespace r1
