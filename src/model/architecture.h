// The table of architectures: a row holds what is one architecture's own, in its own arch_*.cc.
#pragma once

#include <string>

#include "model/config_reader.h"
#include "model/weights.h"

namespace r1 {

struct Architecture {
  const char* name;        // in config.json's "architectures"
  const char* model_type;  // config.json's "model_type"
  // Reads the fields beyond those that every decoder has (parse_model_config).
  void (*read)(const ConfigReader& in, ModelConfig& config);
  // Writes them.
  void (*write)(const ModelConfig& config, Json& json);
  // Makes block `layer` of the parts this architecture has, and adds its parameters in order.
  void (*block)(ParameterTable& table, int64_t layer, Block& block);
};

extern const Architecture kLlama, kQwen2, kQwen3, kQwen3Moe, kDeepseekV2, kDeepseekV3;

// InputError names `where` and the architectures there are.
const Architecture& find_architecture(const std::string& name, const std::string& where);

// Of every architecture with grouped-query attention.
void read_grouped_query(const ConfigReader& in, ModelConfig& config);
void write_grouped_query(const ModelConfig& config, Json& json);

// Of those with experts: the fields that all name alike. `count_field` names how many there are;
// `normalize` is what norm_topk_prob is where the file does not say.
void read_experts(const ConfigReader& in, const char* count_field, bool normalize,
                  ModelConfig& config);
void write_experts(const ModelConfig& config, const char* count_field, Json& json);

// Of both DeepSeeks: attention, experts, shared experts; the groups are read apart.
void read_deepseek(const ConfigReader& in, bool normalize, ModelConfig& config);
void read_expert_groups(const ConfigReader& in, ModelConfig& config);
void write_deepseek(const ModelConfig& config, Json& json);

// Norms, the attention that the config asks for, and a feed-forward part, dense or of experts: the
// block of all architectures so far.
void standard_block(ParameterTable& table, int64_t layer, Block& block);

}  // namespace r1
