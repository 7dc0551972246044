// Qwen3MoeForCausalLM (Qwen3 technical report, 2025): Qwen3's block with experts in place of the
// feed-forward part: softmax over all, the best num_experts_per_tok, no shared expert.
#include "model/architecture.h"

namespace r1 {
namespace {

void read(const ConfigReader& in, ModelConfig& c) {
  in.require("attention_bias", false);
  read_grouped_query(in, c);
  c.qk_norm = true;
  // transformers 5.24 writes the other name.
  read_experts(in, in.has("num_local_experts") ? "num_local_experts" : "num_experts", false, c);
  c.decoder_sparse_step = in.integer("decoder_sparse_step", 1, 1024, 1);
  c.mlp_only_layers = in.integers("mlp_only_layers", 0, c.num_hidden_layers - 1);
}

void write(const ModelConfig& c, Json& json) {
  write_grouped_query(c, json);
  json["attention_bias"] = false;
  write_experts(c, "num_experts", json);
  json["decoder_sparse_step"] = c.decoder_sparse_step;
  json["mlp_only_layers"] = c.mlp_only_layers;
}

}  // namespace

const Architecture kQwen3Moe = {"Qwen3MoeForCausalLM", "qwen3_moe", read, write, standard_block};

}  // namespace r1
