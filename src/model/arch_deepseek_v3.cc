// DeepseekV3ForCausalLM (DeepSeek-V3 technical report, 2024): DeepSeek-V3 and DeepSeek-R1. V2's
// attention; experts by sigmoid scores, chosen with a correction bias in the best groups (section
// 2.1.2). The layers of multi-token prediction (section 2.2), which follow the decoder's in the
// file, serve training and speculation: they are passed over, and a saved model has none.
#include "model/architecture.h"

namespace r1 {
namespace {

// Published weights are float8 with a scale a block of 128 x 128.
void read_quantization(const ConfigReader& in) {
  const Json* object = in.object("quantization_config");
  if (object == nullptr) return;
  const std::string where = in.where() + ": quantization_config";
  const ConfigReader section(*object, where);
  section.require("quant_method", "fp8");
  section.require("fmt", "e4m3");
  section.require("weight_block_size", {128, 128});
}

void read(const ConfigReader& in, ModelConfig& c) {
  in.require("scoring_func", "sigmoid");
  in.require("topk_method", "noaux_tc");
  in.integer("num_nextn_predict_layers", 0, 64, 0);
  read_quantization(in);
  read_deepseek(in, true, c);
  c.topk_method = "noaux_tc";
  read_expert_groups(in, c);
}

void write(const ModelConfig& c, Json& json) {
  write_deepseek(c, json);
  json["scoring_func"] = "sigmoid";
  json["num_nextn_predict_layers"] = 0;
}

}  // namespace

const Architecture kDeepseekV3 = {"DeepseekV3ForCausalLM", "deepseek_v3", read, write,
                                  standard_block};

}  // namespace r1
