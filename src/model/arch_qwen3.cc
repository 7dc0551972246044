// Qwen3ForCausalLM (Qwen3 technical report, 2025): Llama's block with an RMSNorm over each head of
// q and k.
#include "model/architecture.h"

namespace r1 {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  in.require("attention_bias", false);
  read_grouped_query(in, c);
  c.qk_norm = true;
}

void write(const ModelConfig& c, Json& json) {
  write_grouped_query(c, json);
  json["attention_bias"] = false;
}

}  // namespace

const Architecture kQwen3 = {"Qwen3ForCausalLM", "qwen3", read, write, standard_block};

}  // namespace r1
