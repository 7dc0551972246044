#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "model/architecture.h"

namespace r1 {
namespace {

// Settings that change what the model computes and that this program does not have: refused rather
// than ignored.
void refuse_unknown_mathematics(const ConfigReader& in) {
  in.require("hidden_act", "silu");
  in.require("use_sliding_window", false);
  in.require("mlp_bias", false);
  if (const Json* types = in.find("layer_types"); types != nullptr && types->is_array()) {
    for (const Json& type : *types) {
      if (type != "full_attention") {
        in.refuse("layer_types", "must hold \"full_attention\" alone, not " + excerpt(type));
      }
    }
  }
}

std::string architecture_of(const ConfigReader& in) {
  const Json* names = in.find("architectures");
  if (names == nullptr || !names->is_array() || names->empty() || !names->front().is_string()) {
    in.refuse("architectures", "must be a list with one name");
  }
  return names->front().get<std::string>();
}

}  // namespace

ModelConfig parse_model_config(const Json& json, const std::string& where) {
  const ConfigReader in(json, where);
  ModelConfig c;
  c.architecture = architecture_of(in);
  const Architecture& architecture = find_architecture(c.architecture, where);
  refuse_unknown_mathematics(in);
  constexpr int64_t kWide = 1 << 20;
  c.hidden_size = in.integer("hidden_size", 1, kWide);
  c.num_hidden_layers = in.integer("num_hidden_layers", 1, 1024);
  c.num_attention_heads = in.integer("num_attention_heads", 1, 1024);
  c.intermediate_size = in.integer("intermediate_size", 1, kWide * 4);
  c.vocab_size = in.integer("vocab_size", 1, 1 << 24);
  c.max_position_embeddings = in.integer("max_position_embeddings", 1, 1 << 24, 2048);
  c.rope_theta = read_rope_theta(in);
  c.rope_scaling = read_rope_scaling(in, c.max_position_embeddings);
  c.rms_norm_eps = in.number("rms_norm_eps", 0.0, 1.0, 1e-6);
  c.tie_word_embeddings = in.boolean("tie_word_embeddings", false);
  c.eos_token_ids = in.token_ids("eos_token_id", c.vocab_size);
  architecture.read(in, c);
  return c;
}

ModelConfig read_model_config(const std::filesystem::path& folder) {
  const std::string path = (folder / "config.json").string();
  return parse_model_config(parse_json(read_file(path), path), path);
}

Json model_config_json(const ModelConfig& c) {
  const Architecture& architecture = find_architecture(c.architecture, "model config");
  Json j = {{"architectures", {c.architecture}},
            {"model_type", architecture.model_type},
            {"hidden_size", c.hidden_size},
            {"num_hidden_layers", c.num_hidden_layers},
            {"num_attention_heads", c.num_attention_heads},
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
  if (const Json scaling = rope_scaling_json(c.rope_scaling); !scaling.is_null()) {
    j["rope_scaling"] = scaling;
  }
  if (c.eos_token_ids.size() == 1) j["eos_token_id"] = c.eos_token_ids[0];
  if (c.eos_token_ids.size() > 1) j["eos_token_id"] = c.eos_token_ids;
  architecture.write(c, j);
  return j;
}

bool ModelConfig::sparse(int64_t layer) const {
  const auto& dense = mlp_only_layers;
  return routed_experts > 0 && layer >= first_k_dense_replace &&
         (layer + 1) % decoder_sparse_step == 0 &&
         std::find(dense.begin(), dense.end(), layer) == dense.end();
}

std::vector<std::string> kv_type_names() {
  return {"f32", "bf16", "int8"};  // in the order of KvType
}

KvType parse_kv_type(const std::string& name, const std::string& where) {
  const std::vector<std::string> names = kv_type_names();
  const auto it = std::find(names.begin(), names.end(), name);
  if (it == names.end()) throw InputError(where + " " + name + ": expected f32, bf16 or int8");
  return static_cast<KvType>(it - names.begin());
}

KvLayer ModelConfig::kv_shape() const {
  if (mla()) return {nullptr, nullptr, 1, latent_width(), kv_lora_rank, true, kv_cache_dtype};
  return {nullptr, nullptr, num_key_value_heads, head_dim, head_dim, false, kv_cache_dtype};
}

int64_t ModelConfig::parameters() const {
  int64_t total = 0;
  for (const ParameterSpec& p : parameter_specs(*this)) total += p.size();
  return total;
}

int64_t ModelConfig::active_parameters() const {
  double total = 0;
  for (const ParameterSpec& p : parameter_specs(*this)) {
    total += static_cast<double>(p.size()) * p.share;
  }
  return std::llround(total);
}

double ModelConfig::forward_flops(double context) const {
  double products = static_cast<double>(vocab_size * hidden_size);  // the head
  for (const ParameterSpec& p : parameter_specs(*this)) {
    if (p.vector || p.name == "embedding" || p.name == "head") continue;
    products += static_cast<double>(p.size()) * p.share;
  }
  // A key's share of scores and of the weighted sum. In MLA's expanded form a sequence's keys are
  // made once, as its rows are: kv_b is counted with the products in both forms.
  int64_t width = 2 * query_width();
  if (mla()) {
    width = num_attention_heads *
            (mla_expanded ? qk_head_dim() + v_head_dim : latent_width() + kv_lora_rank);
  }
  return 2.0 * (products + static_cast<double>(num_hidden_layers * width) * context);
}

}  // namespace r1
