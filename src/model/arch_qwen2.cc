// Qwen2ForCausalLM (Qwen2.5 technical report, 2024): Llama's block with a bias on q, k and v.
// Qwen2.5, and DeepSeek-R1-Distill-Qwen.
#include "model/architecture.h"

namespace r1 {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  in.require("attention_bias", false);  // the field is Llama's; Qwen2's biases are always there
  read_grouped_query(in, c);
  c.attention_bias = true;
}

}  // namespace

const Architecture kQwen2 = {"Qwen2ForCausalLM", "qwen2", read, write_grouped_query,
                             standard_block};

}  // namespace r1
