// config.json from and to GGUF's metadata.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <numbers>

#include "base/error.h"
#include "model/gguf_model.h"
#include "model/gguf_tokenizer.h"

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
};

// Behind the architecture's name and a point.
struct KeyRow {
  const char* gguf;
  const char* hugging_face;
  GgufType type = GgufType::kU32;
  bool required = true;  // of a GGUF file
};

constexpr KeyRow kKeys[] = {
    {"block_count", "num_hidden_layers"},
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"feed_forward_length", "intermediate_size", GgufType::kU32, false},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads", GgufType::kU32, false},
    {"attention.key_length", "head_dim", GgufType::kU32, false},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", GgufType::kF32},
    {"rope.freq_base", "rope_theta", GgufType::kF32, false},
    {"vocab_size", "vocab_size", GgufType::kU32, false},
    {"expert_count", "num_experts", GgufType::kU32, false},
    {"expert_used_count", "num_experts_per_tok", GgufType::kU32, false},
    {"expert_feed_forward_length", "moe_intermediate_size", GgufType::kU32, false},
};

// Llama 3.1's, the one set of values that has been published but for the factor.
constexpr double kLowFrequencyFactor = 1, kHighFrequencyFactor = 4, kOriginalContext = 8192;

// What Llama 3 divides the frequency of each pair of a head by (transformers,
// modeling_rope_utils.py, _compute_llama3_parameters).
std::vector<float> llama3_factors(double theta, int64_t head_dim, double factor, double low,
                                  double high, double original) {
  std::vector<float> out;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    const double wavelength = 2 * std::numbers::pi * std::pow(theta, exponent);
    const double smooth = (original / wavelength - low) / (high - low);
    const double divisor = wavelength < original / high  ? 1
                           : wavelength > original / low ? factor
                                                         : 1 / ((1 - smooth) / factor + smooth);
    out.push_back(static_cast<float>(divisor));
  }
  return out;
}

// rope_scaling that gives the file's rope_freqs.weight.
Json scaling_of(const Gguf& file, const GgufTensor& tensor, const Json& config) {
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
  const double factor = found.empty() ? 1 : *std::max_element(found.begin(), found.end());
  const auto expected = llama3_factors(config.at("rope_theta").get<double>(), head_dim, factor,
                                       kLowFrequencyFactor, kHighFrequencyFactor, kOriginalContext);
  for (size_t i = 0; i < found.size(); ++i) {
    if (!(std::abs(found[i] - expected[i]) <= 1e-4 * expected[i])) {
      fail("expected Llama 3.1's frequencies, found others");
    }
  }
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", kLowFrequencyFactor},
          {"high_freq_factor", kHighFrequencyFactor},
          {"original_max_position_embeddings", static_cast<int64_t>(kOriginalContext)}};
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

// llama.cpp's own names for scalings of RoPE: none is linear by 1.
void refuse_scaling(const Gguf& file, const std::string& prefix) {
  const GgufValue* type = find(file.metadata(), prefix + "rope.scaling.type");
  if (!type || type->value == "none") return;
  throw InputError(file.where() + ": metadata \"" + prefix +
                   "rope.scaling.type\": expected none, " + "found " +
                   in_quotes(type->value.dump(-1, ' ', true, Json::error_handler_t::replace)));
}

}  // namespace

std::string gguf_architecture(const Json& config, const std::string& where) {
  return find_architecture(config.at("architectures").at(0).get<std::string>(), where).gguf;
}

Json config_from_gguf(const Gguf& file) {
  const auto fail = [&](const std::string& key, const std::string& what) {
    throw InputError(file.where() + ": metadata \"" + key + "\": " + what);
  };
  const GgufMetadata& metadata = file.metadata();
  const GgufValue* name = find(metadata, "general.architecture");
  if (!name || !name->value.is_string())
    fail("general.architecture", "expected a name, found none");
  const ArchitectureRow& row = find_architecture(name->value.get<std::string>(), file.where());
  const std::string prefix = std::string(row.gguf) + ".";
  Json config = {{"architectures", {row.architecture}}, {"model_type", row.model_type}};
  for (const KeyRow& key : kKeys) {
    const GgufValue* value = find(metadata, prefix + key.gguf);
    if (!value && key.required) fail(prefix + key.gguf, "expected a number, found none");
    if (!value) continue;
    const bool real = key.type == GgufType::kF32;
    if (real ? !value->value.is_number() : !value->value.is_number_integer()) {
      fail(prefix + key.gguf, real ? "expected a number" : "expected one whole number");
    }
    config[key.hugging_face] = real ? Json(shortest(value->value.get<double>())) : value->value;
  }
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (!embedding || embedding->shape.size() != 2) {
    throw InputError(file.where() + ": tensor \"token_embd.weight\" is missing, or no matrix");
  }
  config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  if (!config.contains("rope_theta")) config["rope_theta"] = 10000.0;
  if (!config.contains("num_key_value_heads")) {
    config["num_key_value_heads"] = config["num_attention_heads"];
  }
  if (!config.contains("head_dim")) {
    const int64_t heads = config["num_attention_heads"].get<int64_t>();
    if (heads <= 0) fail(prefix + "attention.head_count", "expected a number above 0");
    config["head_dim"] = config["hidden_size"].get<int64_t>() / heads;
  }
  if (config["head_dim"] < 2) fail(prefix + "attention.key_length", "expected 2 or more");
  if (const auto ids = eos_ids_from_gguf(metadata); !ids.empty()) config["eos_token_id"] = ids;
  refuse_scaling(file, prefix);
  if (const GgufTensor* factors = file.find("rope_freqs.weight")) {
    config["rope_scaling"] = scaling_of(file, *factors, config);
  }
  return config;
}

GgufMetadata gguf_from_config(const Json& config, const std::string& where) {
  const std::string architecture = gguf_architecture(config, where);
  const std::string prefix = architecture + ".";
  GgufMetadata metadata;
  metadata["general.architecture"] = GgufValue::string(architecture);
  metadata["general.type"] = GgufValue::string("model");
  metadata["general.quantization_version"] = GgufValue::u32(2);
  for (const KeyRow& key : kKeys) {
    const auto it = config.find(key.hugging_face);
    if (it != config.end() && !it->is_null()) metadata[prefix + key.gguf] = {key.type, *it};
  }
  metadata[prefix + "attention.value_length"] = metadata.at(prefix + "attention.key_length");
  metadata[prefix + "rope.dimension_count"] = metadata.at(prefix + "attention.key_length");
  return metadata;
}

std::vector<float> gguf_rope_factors(const Json& config) {
  const auto it = config.find("rope_scaling");
  if (it == config.end() || !it->is_object()) return {};
  const std::string type = it->value("rope_type", it->value("type", ""));
  if (type != "llama3") return {};
  return llama3_factors(config.at("rope_theta"), config.at("head_dim"), it->at("factor"),
                        it->at("low_freq_factor"), it->at("high_freq_factor"),
                        it->at("original_max_position_embeddings"));
}

}  // namespace r1
