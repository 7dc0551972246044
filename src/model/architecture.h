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

extern const Architecture kLlama, kQwen2, kQwen3;

// InputError names `where` and the architectures there are.
const Architecture& find_architecture(const std::string& name, const std::string& where);

// Of every architecture with grouped-query attention.
void read_grouped_query(const ConfigReader& in, ModelConfig& config);
void write_grouped_query(const ModelConfig& config, Json& json);
// Grouped-query attention and a gated feed-forward part: the block of the dense architectures.
void dense_block(ParameterTable& table, int64_t layer, Block& block);

}  // namespace r1
