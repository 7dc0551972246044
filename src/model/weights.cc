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

ParameterSpec& ParameterTable::add(const char* name, int64_t cols, Parts parts,
                                   Parameter::Slot slot) {
  ParameterSpec spec;
  spec.name = ours_ + name;
  spec.cols = cols;
  for (auto& part : parts) {
    part.name = theirs_ + part.name;
    spec.rows += part.rows;
  }
  spec.parts = std::move(parts);
  rows_.push_back({std::move(spec), slot});
  return rows_.back().spec;
}

void ParameterTable::vector(const char* name, std::span<float>& slot, Parts parts) {
  ParameterSpec& spec = add(name, 1, std::move(parts), &slot);
  spec.vector = true;
  spec.initial = 1;
}

void ParameterTable::bias(const char* name, Linear& slot, Parts parts) {
  add(name, 1, std::move(parts), &slot.bias).vector = true;
}

void ParameterTable::matrix(const char* name, Linear& slot, int64_t cols, Parts parts) {
  add(name, cols, std::move(parts), &slot).initial = kDeviation;
}

void ParameterTable::branch_end(const char* name, Linear& slot, int64_t cols, Parts parts) {
  add(name, cols, std::move(parts), &slot).initial =
      kDeviation * (1.0 / std::sqrt(2.0 * static_cast<double>(config_.num_hidden_layers)));
}

void ParameterTable::embedding(const char* name, Tensor& slot, Parts parts) {
  add(name, config_.hidden_size, std::move(parts), &slot).initial = kDeviation;
}

void ParameterTable::attention(Gqa& a) {
  const ModelConfig& c = config_;
  matrix("qkv", a.qkv, c.hidden_size,
         {{"self_attn.q_proj.weight", c.query_width()},
          {"self_attn.k_proj.weight", c.kv_width()},
          {"self_attn.v_proj.weight", c.kv_width()}});
  if (c.attention_bias) {
    bias("qkv_bias", a.qkv,
         {{"self_attn.q_proj.bias", c.query_width()},
          {"self_attn.k_proj.bias", c.kv_width()},
          {"self_attn.v_proj.bias", c.kv_width()}});
  }
  if (c.qk_norm) {
    vector("q_norm", a.q_norm, {{"self_attn.q_norm.weight", c.head_dim}});
    vector("k_norm", a.k_norm, {{"self_attn.k_norm.weight", c.head_dim}});
  }
  branch_end("attention_out", a.out, c.query_width(), {{"self_attn.o_proj.weight", c.hidden_size}});
}

void ParameterTable::mlp(Swiglu& w, int64_t width) {
  matrix("gate_up", w.gate_up, config_.hidden_size,
         {{"mlp.gate_proj.weight", width}, {"mlp.up_proj.weight", width}});
  branch_end("down", w.down, width, {{"mlp.down_proj.weight", config_.hidden_size}});
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
