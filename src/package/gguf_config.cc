// config.json from and to GGUF's metadata.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "package/gguf_model.h"
#include "package/gguf_tokenizer.h"

namespace r1 {
namespace {

struct ArchitectureRow {
  const char* gguf;
  const char* architecture;  // config.json's
  const char* model_type;
};

constexpr ArchitectureRow kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama"},
    {"qwen2", "Qwen2ForCausalLM", "qwen2"},
    {"qwen3", "Qwen3ForCausalLM", "qwen3"},
    {"qwen3moe", "Qwen3MoeForCausalLM", "qwen3_moe"},
    {"deepseek2", "DeepseekV3ForCausalLM", "deepseek_v3"},
    {"deepseek2", "DeepseekV2ForCausalLM", "deepseek_v2"},
};

// Which architectures a key is of.
enum class Of { kAll, kDense, kQwenExperts, kDeepSeek };

// Behind the architecture's name and a point.
struct KeyRow {
  const char* gguf;
  const char* hugging_face;
  GgufType type = GgufType::kU32;
  bool required = true;  // of a GGUF file
  Of of = Of::kAll;
};

constexpr KeyRow kKeys[] = {
    {"block_count", "num_hidden_layers"},
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size", GgufType::kU32, false},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads", GgufType::kU32, false, Of::kDense},
    {"attention.key_length", "head_dim", GgufType::kU32, false, Of::kDense},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", GgufType::kF32},
    {"rope.freq_base", "rope_theta", GgufType::kF32, false},
    {"vocab_size", "vocab_size", GgufType::kU32, false},
    {"expert_count", "num_experts", GgufType::kU32, true, Of::kQwenExperts},
    {"expert_count", "n_routed_experts", GgufType::kU32, true, Of::kDeepSeek},
    {"expert_used_count", "num_experts_per_tok", GgufType::kU32, false},
    {"expert_feed_forward_length", "moe_intermediate_size", GgufType::kU32, false},
    {"leading_dense_block_count", "first_k_dense_replace", GgufType::kU32, true, Of::kDeepSeek},
    {"expert_shared_count", "n_shared_experts", GgufType::kU32, true, Of::kDeepSeek},
    {"expert_weights_scale", "routed_scaling_factor", GgufType::kF32, false, Of::kDeepSeek},
    {"expert_weights_norm", "norm_topk_prob", GgufType::kBool, false, Of::kDeepSeek},
    {"expert_group_count", "n_group", GgufType::kU32, false, Of::kDeepSeek},
    {"expert_group_used_count", "topk_group", GgufType::kU32, false, Of::kDeepSeek},
    {"attention.q_lora_rank", "q_lora_rank", GgufType::kU32, false, Of::kDeepSeek},
    {"attention.kv_lora_rank", "kv_lora_rank", GgufType::kU32, true, Of::kDeepSeek},
    {"rope.dimension_count", "qk_rope_head_dim", GgufType::kU32, true, Of::kDeepSeek},
};

bool belongs(const KeyRow& key, const std::string& architecture) {
  const bool deepseek = architecture == "deepseek2";
  return key.of == Of::kAll || (key.of == Of::kDense && !deepseek) ||
         (key.of == Of::kQwenExperts && architecture == "qwen3moe") ||
         (key.of == Of::kDeepSeek && deepseek);
}

// expert_gating_func (llama.cpp, llama_expert_gating_func_type).
constexpr int kSoftmax = 1, kSigmoid = 2;

constexpr const char* kOriginalContext = "rope.scaling.original_context_length";
constexpr int64_t kLlama3Context = 8192;  // where a file does not say

// What a scaling divides the frequency of each pair of a head by.
std::vector<float> factors_of(const RopeScaling& scaling, double theta, int64_t dim) {
  const auto plain = rope_frequencies(RopeScaling{}, theta, dim);
  const auto scaled = rope_frequencies(scaling, theta, dim);
  std::vector<float> out;
  for (size_t i = 0; i < plain.size(); ++i) {
    out.push_back(static_cast<float>(plain[i] / scaled[i]));
  }
  return out;
}

// rope_scaling that gives the file's rope_freqs.weight.
Json scaling_of(const Gguf& file, const GgufTensor& tensor, int64_t original, const Json& config) {
  const auto fail = [&](const std::string& what) {
    throw InputError(file.where() + ": tensor \"rope_freqs.weight\": " + what);
  };
  const auto head_dim = config.at("head_dim").get<int64_t>();
  if (tensor.dtype != DType::kF32 || tensor.shape != std::vector<int64_t>{head_dim / 2}) {
    fail("expected F32 [" + std::to_string(head_dim / 2) + "], found " + std::string(tensor.type) +
         " " + shape_text(tensor.shape));
  }
  std::vector<float> found(static_cast<size_t>(head_dim / 2));
  std::copy_n(tensor.bytes.data(), tensor.bytes.size(), reinterpret_cast<std::byte*>(found.data()));
  RopeScaling scaling;  // with Llama 3.1's low_freq_factor and high_freq_factor
  scaling.type = "llama3";
  scaling.factor = *std::max_element(found.begin(), found.end());
  scaling.original_max_position_embeddings = original;
  const auto expected = factors_of(scaling, config.at("rope_theta").get<double>(), head_dim);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!(std::abs(found[i] - expected[i]) <= 1e-4 * expected[i])) {
      fail("expected Llama 3.1's frequencies, found others");
    }
  }
  return rope_scaling_json(scaling);
}

[[noreturn]] void fail(const Gguf& file, const std::string& key, const std::string& what) {
  throw InputError(file.where() + ": metadata \"" + key + "\": " + what);
}

bool is_count(const Json& json) {
  return json.is_number_integer() && json >= 0 && json <= INT32_MAX;
}

const GgufValue* find(const GgufMetadata& metadata, const std::string& key) {
  const auto it = metadata.find(key);
  return it == metadata.end() ? nullptr : &it->second;
}

// A float32 that was written from a decimal reads as that decimal: 1e-6, not 9.99999997e-07.
double shortest(double value) {
  char text[32];
  for (int digits = 6; digits <= 9; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtof(text, nullptr) == static_cast<float>(value)) return std::strtod(text, nullptr);
  }
  return value;
}

const ArchitectureRow& find_architecture(const std::string& name, const std::string& where) {
  std::string known;
  for (const ArchitectureRow& row : kArchitectures) {
    if (name == row.gguf || name == row.architecture) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.gguf);
  }
  throw InputError(where + ": architecture " + in_quotes(name) + " is not one of " + known);
}

// rope.scaling.*: YaRN. DeepSeek's mscale is there as its logarithm's multiplier.
Json yarn_of(const Gguf& file, const std::string& prefix) {
  const std::string at = prefix + "rope.scaling.";
  const auto number = [&](const char* key, double fallback) {
    const GgufValue* value = find(file.metadata(), at + key);
    return value && value->value.is_number() ? shortest(value->value.get<double>()) : fallback;
  };
  const GgufValue* type = find(file.metadata(), at + "type");
  if (!type || type->value == "none") return nullptr;
  if (type->value != "yarn") {
    throw InputError(file.where() + ": metadata \"" + at + "type\": expected none or yarn, found " +
                     excerpt(type->value));
  }
  RopeScaling scaling;
  scaling.type = "yarn";
  scaling.factor = number("factor", 1);
  scaling.original_max_position_embeddings =
      static_cast<int64_t>(std::clamp(number("original_context_length", 0), 0.0, 1e9));
  scaling.beta_fast = number("yarn_beta_fast", 32);
  scaling.beta_slow = number("yarn_beta_slow", 1);
  const double multiplier = number("yarn_log_multiplier", 0);
  scaling.mscale = scaling.mscale_all_dim = 10 * multiplier;
  return rope_scaling_json(scaling);
}

void add_yarn(const RopeScaling& scaling, const std::string& prefix, const std::string& where,
              GgufMetadata& metadata) {
  if (scaling.attention_factor != 0 || scaling.mscale != scaling.mscale_all_dim ||
      !scaling.truncate) {
    throw InputError(where +
                     ": rope_scaling: GGUF cannot say what attention_factor, truncate or an " +
                     "mscale that differs from mscale_all_dim say");
  }
  const std::string at = prefix + "rope.scaling.";
  metadata[at + "type"] = GgufValue::string("yarn");
  metadata[at + "factor"] = GgufValue::f32(scaling.factor);
  metadata[prefix + kOriginalContext] =
      GgufValue::u32(static_cast<uint64_t>(scaling.original_max_position_embeddings));
  metadata[at + "yarn_beta_fast"] = GgufValue::f32(scaling.beta_fast);
  metadata[at + "yarn_beta_slow"] = GgufValue::f32(scaling.beta_slow);
  if (scaling.mscale_all_dim != 0) {
    metadata[at + "yarn_log_multiplier"] = GgufValue::f32(0.1 * scaling.mscale_all_dim);
  }
}

// The factors themselves are a tensor (gguf_rope_factors), from which the rest is read.
void add_llama3(const RopeScaling& scaling, const std::string& prefix, const std::string& where,
                GgufMetadata& metadata) {
  const RopeScaling published;
  if (scaling.low_freq_factor != published.low_freq_factor ||
      scaling.high_freq_factor != published.high_freq_factor) {
    throw InputError(where +
                     ": rope_scaling: GGUF is written with Llama 3.1's low_freq_factor 1 and " +
                     "high_freq_factor 4 alone");
  }
  metadata[prefix + kOriginalContext] =
      GgufValue::u32(static_cast<uint64_t>(scaling.original_max_position_embeddings));
}

// What a file may leave unsaid.
void add_head_sizes(const Gguf& file, const std::string& prefix, Json& config) {
  if (!config.contains("num_key_value_heads")) {
    config["num_key_value_heads"] = config["num_attention_heads"];
  }
  const auto heads = config["num_attention_heads"].get<int64_t>();
  if (heads <= 0) fail(file, prefix + "attention.head_count", "expected a number above 0");
  if (!config.contains("head_dim")) {
    config["head_dim"] = config["hidden_size"].get<int64_t>() / heads;
  }
  if (config["head_dim"] < 2) fail(file, prefix + "attention.key_length", "expected 2 or more");
}

// Latent attention's sizes, and which of DeepSeek's two architectures it is. Newer files state a
// head's sizes as key_length_mla, since their key_length is that of the compressed form.
void add_latent_sizes(const Gguf& file, const std::string& prefix, Json& config) {
  const auto number = [&](const std::string& key, int64_t fallback) {
    const GgufValue* value = find(file.metadata(), prefix + key);
    if (!value) return fallback;
    if (!is_count(value->value)) {
      fail(file, prefix + key, "expected one whole number from 0 to 2^31 - 1");
    }
    return value->value.get<int64_t>();
  };
  const int64_t key = number("attention.key_length_mla", number("attention.key_length", 0));
  const int64_t nope = key - config["qk_rope_head_dim"].get<int64_t>();
  if (nope <= 0) fail(file, prefix + "attention.key_length_mla", "expected more than RoPE's part");
  config["qk_nope_head_dim"] = nope;
  config["v_head_dim"] = number("attention.value_length_mla", number("attention.value_length", 0));
  if (!config.contains("q_lora_rank") || config["q_lora_rank"] == 0)
    config["q_lora_rank"] = nullptr;
  config["num_key_value_heads"] = config["num_attention_heads"];
  const bool sigmoid = number("expert_gating_func", kSoftmax) == kSigmoid;
  if (!config.contains("n_group")) {
    // Older converters left the groups out. Of the published models, those with 256 experts and
    // sigmoid scores (DeepSeek-V3 and R1) have these.
    const bool v3 = sigmoid && config["n_routed_experts"] == 256;
    config["n_group"] = v3 ? 8 : 1;
    config["topk_group"] = v3 ? 4 : 1;
  }
  config["architectures"] = {sigmoid ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"};
  config["model_type"] = sigmoid ? "deepseek_v3" : "deepseek_v2";
  config["scoring_func"] = sigmoid ? "sigmoid" : "softmax";
  config["topk_method"] = sigmoid                  ? "noaux_tc"
                          : config["n_group"] == 1 ? "greedy"
                                                   : "group_limited_greedy";
}

// llama.cpp takes compressed attention as one key and value head, of the latent vector and RoPE's
// part.
void add_latent_keys(const Json& config, const std::string& prefix, GgufMetadata& metadata) {
  const auto number = [&](const char* key) { return config.at(key).get<uint64_t>(); };
  const auto set = [&](const char* key, uint64_t value) {
    metadata[prefix + key] = GgufValue::u32(value);
  };
  const uint64_t rank = number("kv_lora_rank"), rope = number("qk_rope_head_dim");
  set("attention.head_count_kv", 1);
  set("attention.key_length", rank + rope);
  set("attention.value_length", rank);
  set("attention.key_length_mla", number("qk_nope_head_dim") + rope);
  set("attention.value_length_mla", number("v_head_dim"));
  set("expert_gating_func", config.at("scoring_func") == "sigmoid" ? kSigmoid : kSoftmax);
}

// llama.cpp takes for granted what these say.
void check_expert_layers(const Json& config, const std::string& where) {
  for (const auto& [key, expected] : {std::pair{"norm_topk_prob", Json(true)},
                                      {"decoder_sparse_step", Json(1)},
                                      {"mlp_only_layers", Json::array()}}) {
    const auto it = config.find(key);
    if (it == config.end() || *it == expected) continue;
    throw InputError(where + ": field '" + key + "': GGUF can express " + expected.dump() +
                     " alone, found " + excerpt(*it));
  }
}

}  // namespace

std::string gguf_architecture(const Json& config, const std::string& where) {
  return find_architecture(config.at("architectures").at(0).get<std::string>(), where).gguf;
}

Json config_from_gguf(const Gguf& file) {
  const GgufMetadata& metadata = file.metadata();
  const GgufValue* name = find(metadata, "general.architecture");
  if (!name || !name->value.is_string())
    fail(file, "general.architecture", "expected a name, found none");
  const ArchitectureRow& row = find_architecture(name->value.get<std::string>(), file.where());
  const std::string prefix = std::string(row.gguf) + ".";
  Json config = {{"architectures", {row.architecture}}, {"model_type", row.model_type}};
  for (const KeyRow& key : kKeys) {
    if (!belongs(key, row.gguf)) continue;
    const GgufValue* value = find(metadata, prefix + key.gguf);
    if (!value && key.required) fail(file, prefix + key.gguf, "expected a number, found none");
    if (!value) continue;
    const Json& json = value->value;
    const bool fits = key.type == GgufType::kF32    ? json.is_number()
                      : key.type == GgufType::kBool ? json.is_boolean()
                                                    : is_count(json);
    if (!fits) {
      fail(file, prefix + key.gguf,
           key.type == GgufType::kF32    ? "expected a number"
           : key.type == GgufType::kBool ? "expected a bool"
                                         : "expected one whole number from 0 to 2^31 - 1");
    }
    config[key.hugging_face] =
        key.type == GgufType::kF32 ? Json(shortest(json.get<double>())) : json;
  }
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2) {
    throw InputError(file.where() + ": tensor \"token_embd.weight\" is missing, or no matrix");
  }
  config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  if (!config.contains("rope_theta")) config["rope_theta"] = 10000.0;
  if (std::string_view(row.gguf) == "deepseek2") {
    add_latent_sizes(file, prefix, config);
  } else {
    add_head_sizes(file, prefix, config);
  }
  // What llama.cpp does with every model of this architecture.
  if (std::string_view(row.gguf) == "qwen3moe") config["norm_topk_prob"] = true;
  if (const auto ids = eos_ids_from_gguf(metadata); !ids.empty()) config["eos_token_id"] = ids;
  if (Json yarn = yarn_of(file, prefix); !yarn.is_null()) config["rope_scaling"] = std::move(yarn);
  if (const GgufTensor* factors = file.find("rope_freqs.weight")) {
    const GgufValue* original = find(metadata, prefix + kOriginalContext);
    const bool given = original && is_count(original->value);
    config["rope_scaling"] =
        scaling_of(file, *factors, given ? original->value.get<int64_t>() : kLlama3Context, config);
  }
  return config;
}

GgufMetadata gguf_from_config(const ModelConfig& model, const std::string& where) {
  const Json config = model_config_json(model);
  const std::string architecture = gguf_architecture(config, where);
  const std::string prefix = architecture + ".";
  GgufMetadata metadata;
  metadata["general.architecture"] = GgufValue::string(architecture);
  metadata["general.type"] = GgufValue::string("model");
  metadata["general.quantization_version"] = GgufValue::u32(2);
  for (const KeyRow& key : kKeys) {
    const auto it = config.find(key.hugging_face);
    if (!belongs(key, architecture)) continue;
    if (it != config.end() && !it->is_null()) metadata[prefix + key.gguf] = {key.type, *it};
  }
  if (architecture == "qwen3moe") check_expert_layers(config, where);
  if (architecture == "deepseek2") {
    add_latent_keys(config, prefix, metadata);
  } else {
    metadata[prefix + "attention.value_length"] = metadata.at(prefix + "attention.key_length");
    metadata[prefix + "rope.dimension_count"] = metadata.at(prefix + "attention.key_length");
  }
  if (model.rope_scaling.type == "yarn") add_yarn(model.rope_scaling, prefix, where, metadata);
  if (model.rope_scaling.type == "llama3") add_llama3(model.rope_scaling, prefix, where, metadata);
  return metadata;
}

std::vector<float> gguf_rope_factors(const ModelConfig& config) {
  if (config.rope_scaling.type != "llama3") return {};
  return factors_of(config.rope_scaling, config.rope_theta, config.rope_dim());
}

}  // namespace r1
