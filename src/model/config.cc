#include "model/config.h"

#include "base/error.h"

namespace r1 {
namespace {

// The dense decoder family differs in these rows and nowhere else.
struct Architecture {
  const char* name;
  const char* model_type;
  bool attention_bias;
  bool qk_norm;
};

constexpr Architecture kArchitectures[] = {
    {"LlamaForCausalLM", "llama", false, false},
    {"Qwen2ForCausalLM", "qwen2", true, false},
    {"Qwen3ForCausalLM", "qwen3", false, true},
};

const Architecture& find_architecture(const std::string& name, const std::string& where) {
  std::string known;
  for (const Architecture& a : kArchitectures) {
    if (name == a.name) return a;
    known += (known.empty() ? "" : ", ") + std::string(a.name);
  }
  throw InputError(where + ": architecture " + in_quotes(name) + " is not one of " + known);
}

int64_t integer(const Json& json, const char* key, int64_t low, int64_t high, int64_t fallback,
                const std::string& where) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) {
    if (fallback >= 0) return fallback;
    throw InputError(where + ": field '" + key + "' is missing");
  }
  const bool ok = it->is_number_integer() &&
                  (!it->is_number_unsigned() || it->get<uint64_t>() <= uint64_t{1} << 62);
  if (!ok || it->get<int64_t>() < low || it->get<int64_t>() > high) {
    throw InputError(where + ": field '" + key + "' must be an integer from " +
                     std::to_string(low) + " to " + std::to_string(high) + ", not " +
                     it->dump().substr(0, 60));
  }
  return it->get<int64_t>();
}

double number(const Json& json, const char* key, double low, double high, double fallback,
              const std::string& where) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return fallback;
  if (!it->is_number() || !(it->get<double>() >= low && it->get<double>() <= high)) {
    throw InputError(where + ": field '" + key + "' must be a number from " + std::to_string(low) +
                     " to " + std::to_string(high) + ", not " + it->dump().substr(0, 60));
  }
  return it->get<double>();
}

bool boolean(const Json& json, const char* key, bool fallback, const std::string& where) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return fallback;
  if (!it->is_boolean())
    throw InputError(where + ": field '" + key + "' must be true or false, not " +
                     it->dump().substr(0, 60));
  return it->get<bool>();
}

// A setting of this name that is there and not null must be `expected`.
void require_value(const Json& json, const char* key, const Json& expected, const std::string& name,
                   const std::string& where) {
  if (const auto it = json.find(key); it != json.end() && !it->is_null() && *it != expected) {
    throw InputError(where + ": field '" + name + "' is supported as " + expected.dump() +
                     " alone, found " + it->dump().substr(0, 60));
  }
}

// rope_scaling, or rope_parameters that transformers 5 has in its place: plain RoPE or nothing.
void refuse_unknown_rope(const Json& json, const std::string& field, const std::string& where) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return;
  if (!it->is_object()) {
    throw InputError(where + ": field '" + field + "' must be an object or null, not " +
                     it->dump().substr(0, 60));
  }
  // "type" is the older name.
  for (const char* key : {"rope_type", "type"}) {
    require_value(*it, key, "default", field + "." + key, where);
  }
  require_value(*it, "partial_rotary_factor", 1.0, field + ".partial_rotary_factor", where);
  const bool typed = it->contains("rope_type") || it->contains("type");
  for (const auto& [key, value] : it->items()) {
    if (value.is_structured() || (!typed && key == "factor")) {
      throw InputError(where + ": field '" + field + "." + key +
                       "' is not supported: expected RoPE of type \"default\"");
    }
  }
}

// Settings that change what the model computes and that this program does not have: refused rather
// than ignored.
void refuse_unknown_mathematics(const Json& json, const std::string& where) {
  if (const auto it = json.find("hidden_act"); it != json.end() && *it != "silu") {
    throw InputError(where + ": field 'hidden_act' must be \"silu\", not " +
                     it->dump().substr(0, 60));
  }
  refuse_unknown_rope(json, "rope_scaling", where);
  refuse_unknown_rope(json, "rope_parameters", where);
  require_value(json, "partial_rotary_factor", 1.0, "partial_rotary_factor", where);
  for (const char* key : {"use_sliding_window", "mlp_bias"}) {
    if (boolean(json, key, false, where))
      throw InputError(where + ": '" + key + "' is not supported: expected false");
  }
  if (const auto it = json.find("layer_types"); it != json.end() && it->is_array()) {
    for (const Json& type : *it) {
      if (type != "full_attention") {
        throw InputError(where + ": field 'layer_types' must hold \"full_attention\" alone, not " +
                         type.dump().substr(0, 60));
      }
    }
  }
}

std::vector<int32_t> token_ids(const Json& json, const char* key, int64_t vocab,
                               const std::string& where) {
  std::vector<int32_t> ids;
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return ids;
  const Json list = it->is_array() ? *it : Json::array({*it});
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab) {
      throw InputError(where + ": field '" + key + "' must hold token ids below vocab_size " +
                       std::to_string(vocab) + ", not " + id.dump().substr(0, 60));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

double rope_theta_of(const Json& json, const std::string& where) {
  const double outer = number(json, "rope_theta", 1.0, 1e12, 10000.0, where);
  // transformers 5 moved it into rope_parameters.
  const auto it = json.find("rope_parameters");
  return it == json.end() || it->is_null() ? outer
                                           : number(*it, "rope_theta", 1.0, 1e12, outer, where);
}

// What head_dim is where the file does not say.
int64_t default_head_dim(const Json& json, const ModelConfig& c, const std::string& where) {
  const auto it = json.find("head_dim");
  if ((it == json.end() || it->is_null()) && c.hidden_size % c.num_attention_heads != 0) {
    throw InputError(where + ": hidden_size (" + std::to_string(c.hidden_size) +
                     ") must be a multiple of num_attention_heads (" +
                     std::to_string(c.num_attention_heads) + ") where there is no head_dim");
  }
  return c.hidden_size / c.num_attention_heads;
}

}  // namespace

ModelConfig parse_model_config(const Json& json, const std::string& where) {
  if (!json.is_object()) throw InputError(where + ": expected a JSON object");
  const auto names = json.find("architectures");
  if (names == json.end() || !names->is_array() || names->empty() || !names->front().is_string()) {
    throw InputError(where + ": field 'architectures' must be a list with one name");
  }
  ModelConfig c;
  c.architecture = names->front().get<std::string>();
  const Architecture& row = find_architecture(c.architecture, where);
  refuse_unknown_mathematics(json, where);
  constexpr int64_t kWide = 1 << 20;
  c.hidden_size = integer(json, "hidden_size", 1, kWide, -1, where);
  c.num_hidden_layers = integer(json, "num_hidden_layers", 1, 1024, -1, where);
  c.num_attention_heads = integer(json, "num_attention_heads", 1, 1024, -1, where);
  c.num_key_value_heads =
      integer(json, "num_key_value_heads", 1, 1024, c.num_attention_heads, where);
  c.head_dim = integer(json, "head_dim", 2, 1024, default_head_dim(json, c, where), where);
  c.intermediate_size = integer(json, "intermediate_size", 1, kWide * 4, -1, where);
  c.vocab_size = integer(json, "vocab_size", 1, 1 << 24, -1, where);
  c.max_position_embeddings = integer(json, "max_position_embeddings", 1, 1 << 24, 2048, where);
  c.rope_theta = rope_theta_of(json, where);
  c.rms_norm_eps = number(json, "rms_norm_eps", 0.0, 1.0, 1e-6, where);
  c.tie_word_embeddings = boolean(json, "tie_word_embeddings", false, where);
  c.attention_bias = row.attention_bias;
  c.qk_norm = row.qk_norm;
  // Llama's attention_bias would add one to the output projection too, which no published model
  // has.
  if (boolean(json, "attention_bias", false, where)) {
    throw InputError(where + ": 'attention_bias' is not supported for " + c.architecture +
                     ": expected false");
  }
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    throw InputError(where + ": num_attention_heads (" + std::to_string(c.num_attention_heads) +
                     ") must be a multiple of num_key_value_heads (" +
                     std::to_string(c.num_key_value_heads) + ")");
  }
  if (c.head_dim < 2 || c.head_dim % 2 != 0) {
    throw InputError(where + ": head_dim must be even for RoPE, not " + std::to_string(c.head_dim));
  }
  c.eos_token_ids = token_ids(json, "eos_token_id", c.vocab_size, where);
  return c;
}

Json model_config_json(const ModelConfig& c) {
  const Architecture& row = find_architecture(c.architecture, "model config");
  Json j = {{"architectures", {c.architecture}},
            {"model_type", row.model_type},
            {"hidden_size", c.hidden_size},
            {"num_hidden_layers", c.num_hidden_layers},
            {"num_attention_heads", c.num_attention_heads},
            {"num_key_value_heads", c.num_key_value_heads},
            {"head_dim", c.head_dim},
            {"intermediate_size", c.intermediate_size},
            {"vocab_size", c.vocab_size},
            {"max_position_embeddings", c.max_position_embeddings},
            {"rope_theta", c.rope_theta},
            {"rms_norm_eps", c.rms_norm_eps},
            {"tie_word_embeddings", c.tie_word_embeddings},
            {"hidden_act", "silu"},
            {"attention_dropout", 0.0},
            {"initializer_range", 0.02},
            {"use_cache", true},
            {"torch_dtype", "float32"}};
  if (!row.attention_bias) j["attention_bias"] = false;
  if (c.eos_token_ids.size() == 1) j["eos_token_id"] = c.eos_token_ids[0];
  if (c.eos_token_ids.size() > 1) j["eos_token_id"] = c.eos_token_ids;
  return j;
}

int64_t ModelConfig::parameters() const {
  int64_t total = 0;
  for (const ParameterSpec& p : parameter_specs(*this)) total += p.size();
  return total;
}

double ModelConfig::forward_flops(double context) const {
  const double c = static_cast<double>(hidden_size);
  const double block = c * static_cast<double>(qkv_width() + query_width() + 3 * intermediate_size);
  const double attention = 2.0 * static_cast<double>(query_width()) * context;
  return 2.0 * (static_cast<double>(num_hidden_layers) * (block + attention) +
                c * static_cast<double>(vocab_size));
}

std::vector<ParameterSpec> parameter_specs(const ModelConfig& c) {
  std::vector<ParameterSpec> specs;
  auto matrix = [&](std::string name, int64_t cols, std::vector<ParameterSpec::Part> parts) {
    int64_t rows = 0;
    for (const auto& part : parts) rows += part.rows;
    specs.push_back({std::move(name), rows, cols, false, std::move(parts)});
  };
  auto vector = [&](std::string name, std::vector<ParameterSpec::Part> parts) {
    matrix(std::move(name), 1, std::move(parts));
    specs.back().vector = true;
  };
  matrix("embedding", c.hidden_size, {{"model.embed_tokens.weight", c.vocab_size}});
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string ours = "layers." + std::to_string(i) + ".";
    const std::string hf = "model.layers." + std::to_string(i) + ".";
    const std::string attn = hf + "self_attn.";
    vector(ours + "attention_norm", {{hf + "input_layernorm.weight", c.hidden_size}});
    matrix(ours + "qkv", c.hidden_size,
           {{attn + "q_proj.weight", c.query_width()},
            {attn + "k_proj.weight", c.kv_width()},
            {attn + "v_proj.weight", c.kv_width()}});
    if (c.attention_bias) {
      vector(ours + "qkv_bias", {{attn + "q_proj.bias", c.query_width()},
                                 {attn + "k_proj.bias", c.kv_width()},
                                 {attn + "v_proj.bias", c.kv_width()}});
    }
    if (c.qk_norm) {
      vector(ours + "q_norm", {{attn + "q_norm.weight", c.head_dim}});
      vector(ours + "k_norm", {{attn + "k_norm.weight", c.head_dim}});
    }
    matrix(ours + "attention_out", c.query_width(), {{attn + "o_proj.weight", c.hidden_size}});
    vector(ours + "mlp_norm", {{hf + "post_attention_layernorm.weight", c.hidden_size}});
    matrix(ours + "gate_up", c.hidden_size,
           {{hf + "mlp.gate_proj.weight", c.intermediate_size},
            {hf + "mlp.up_proj.weight", c.intermediate_size}});
    matrix(ours + "down", c.intermediate_size, {{hf + "mlp.down_proj.weight", c.hidden_size}});
  }
  vector("final_norm", {{"model.norm.weight", c.hidden_size}});
  if (!c.tie_word_embeddings) matrix("head", c.hidden_size, {{"lm_head.weight", c.vocab_size}});
  return specs;
}

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture& a : kArchitectures) names.emplace_back(a.name);
  return names;
}

}  // namespace r1
