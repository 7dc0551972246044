#include "model/architecture.h"

#include "base/error.h"

namespace r1 {
namespace {

constexpr const Architecture* kArchitectures[] = {&kLlama, &kQwen2, &kQwen3};

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

void dense_block(ParameterTable& table, int64_t, Block& block) {
  const ModelConfig& c = table.config();
  table.vector("attention_norm", block.attention_norm, {{"input_layernorm.weight", c.hidden_size}});
  table.attention(block.attention.emplace<Gqa>());
  table.vector("mlp_norm", block.mlp_norm, {{"post_attention_layernorm.weight", c.hidden_size}});
  table.mlp(block.mlp.emplace<Swiglu>(), c.intermediate_size);
}

}  // namespace r1
