// LlamaForCausalLM (Touvron et al., 2023; Llama 3: Grattafiori et al., 2024): Llama 1 to 3.x, and
// DeepSeek-R1-Distill-Llama.
#include "model/architecture.h"

namespace r1 {
namespace {

// Llama's attention_bias would add one to the output projection too, which no published model has.
void read(const ConfigReader& in, ModelConfig& c) {
  in.require("attention_bias", false);
  read_grouped_query(in, c);
}

void write(const ModelConfig& c, Json& json) {
  write_grouped_query(c, json);
  json["attention_bias"] = false;
  json["mlp_bias"] = false;
}

}  // namespace

const Architecture kLlama = {"LlamaForCausalLM", "llama", read, write, standard_block};

}  // namespace r1
