// A recipe: a TOML file that says what model to start from and which stages to run.
//
//   name = "countdown-zero"
//   model = "models/countdown-base"      # or a [new_model] table, to start from nothing
//   [[stage]]
//   kind = "grpo"                        # a row of the table in stage.cc
//   task = "countdown"
//
// Stages run in order, each on the model that the last one before it left, or on the one it names
// (recipe/stage.h). The options' names are those of TRL's SFTConfig and GRPOConfig where it has
// them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "model/config.h"
#include "recipe/stage.h"

namespace r1 {

// A model to be created: the fields of its config.json. Those that are 0 are not written; an
// architecture reads its own.
struct NewModelConfig {
  std::string architecture = "Qwen3ForCausalLM";
  int64_t hidden_size = 128, num_hidden_layers = 4, num_attention_heads = 4;
  int64_t intermediate_size = 384, max_position_embeddings = 512;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = true;
  int64_t num_key_value_heads = 2, head_dim = 32;
  int64_t q_lora_rank = 0, kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  int64_t num_experts = 0, n_routed_experts = 0, num_experts_per_tok = 0;
  int64_t moe_intermediate_size = 0, n_shared_experts = 0, first_k_dense_replace = 0;
  int64_t decoder_sparse_step = 0, n_group = 0, topk_group = 0;
  bool norm_topk_prob = false;
  double routed_scaling_factor = 1.0;

  template <class V>
  void visit(V& v) {
    v("architecture", architecture, "a row of the architecture table",
      one_of(architecture_names()));
    v("hidden_size", hidden_size, "model width", at_least(1));
    v("num_hidden_layers", num_hidden_layers, "blocks", at_least(1));
    v("num_attention_heads", num_attention_heads, "query heads", at_least(1));
    v("intermediate_size", intermediate_size, "feed-forward width", at_least(1));
    v("max_position_embeddings", max_position_embeddings, "longest sequence", at_least(1));
    v("rope_theta", rope_theta, "base of the rotary frequencies", at_least(1));
    v("tie_word_embeddings", tie_word_embeddings, "the head is the embedding");
    v("num_key_value_heads", num_key_value_heads, "key and value heads; MLA has none", at_least(1));
    v("head_dim", head_dim, "width of a head; MLA's widths are below", at_least(2));
    v("q_lora_rank", q_lora_rank, "MLA: the compressed query's width; 0: not compressed",
      at_least(0));
    v("kv_lora_rank", kv_lora_rank, "MLA: the latent vector's width", at_least(0));
    v("qk_nope_head_dim", qk_nope_head_dim, "MLA: a head's key but for its rotated part",
      at_least(0));
    v("qk_rope_head_dim", qk_rope_head_dim, "MLA: the rotated part", at_least(0));
    v("v_head_dim", v_head_dim, "MLA: a head's value", at_least(0));
    v("num_experts", num_experts, "Qwen3Moe: experts of a layer", at_least(0));
    v("n_routed_experts", n_routed_experts, "DeepSeek: experts of a layer", at_least(0));
    v("num_experts_per_tok", num_experts_per_tok, "experts of a token", at_least(0));
    v("moe_intermediate_size", moe_intermediate_size, "an expert's feed-forward width",
      at_least(0));
    v("n_shared_experts", n_shared_experts, "DeepSeek: experts of every token", at_least(0));
    v("first_k_dense_replace", first_k_dense_replace, "DeepSeek: first layers without experts",
      at_least(0));
    v("decoder_sparse_step", decoder_sparse_step, "Qwen3Moe: every so-manieth layer has experts",
      at_least(0));
    v("n_group", n_group, "DeepSeek: groups of experts", at_least(0));
    v("topk_group", topk_group, "DeepSeek: groups of a token", at_least(0));
    v("norm_topk_prob", norm_topk_prob, "a token's expert weights sum to one");
    v("routed_scaling_factor", routed_scaling_factor, "DeepSeek: times these weights", at_least(0));
  }
};

// What the engine of a sampling stage may take: how fast it is, never what it samples.
struct EngineLimits {
  int64_t max_sequences = 256;
  int64_t kv_bytes = int64_t{2} << 30;

  template <class V>
  void visit(V& v) {
    v("max_sequences", max_sequences, "completions at once", at_least(1));
    v("kv_bytes", kv_bytes, "most bytes that keys and values may take", at_least(1));
  }
};

struct Recipe {
  std::string name = "run";
  std::string version;  // of the program that resolved it
  uint64_t seed = 1;
  std::string model;      // a folder to start from; empty: new_model
  std::string tokenizer;  // for new_model: "numbers" (text/number_tokenizer.h) or a tokenizer.json
  std::string dtype = "F32";
  std::string mla = "auto", kv_cache_dtype = "f32";
  int64_t save_total_limit = 2;
  NewModelConfig new_model;
  EngineLimits engine;
  std::vector<std::shared_ptr<Stage>> stages;  // [[stage]] tables; names differ

  template <class V>
  void visit(V& v) {
    v("name", name, "names the run's folder");
    v("version", version, "of the program that resolved the recipe");
    v("seed", seed, "everything random follows from it");
    v("model", model, "the folder of the model to start from; empty: new_model");
    v("tokenizer", tokenizer, "of a new model: numbers, or a tokenizer.json");
    v("dtype", dtype, "of the products' weights; masters are F32", one_of({"F32", "BF16"}));
    v("mla", mla,
      "form of multi-head latent attention in all of the run; auto: expanded where that is cheaper "
      "and no stage samples, else absorbed",
      one_of({"auto", "absorbed", "expanded"}));
    v("kv_cache_dtype", kv_cache_dtype,
      "how keys and values are held, in sampling and training alike", one_of(kv_type_names()));
    v("save_total_limit", save_total_limit,
      "checkpoints kept, the newest; beside those that later stages name", at_least(1));
    v("new_model", new_model, "a model to start from nothing");
    v("engine", engine, "what sampling may take; the result depends on neither");
  }

  // The stage of that name; -1: none.
  int64_t find_stage(std::string_view name) const;
  // The stage whose model stage `index` starts from; -1: the recipe's own.
  int64_t model_of(int64_t index) const;
  // Whether a stage after `index` names its model; false for -1.
  bool model_is_named(int64_t index) const;
};

// InputError names the file, the line and the key; so where a stage reads what none before it left.
// `overrides` are key=value: of the recipe, or of a stage by its name ("grpo.learning_rate=1e-4").
// Relative paths in it are relative to the current folder.
Recipe read_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides);
Recipe parse_recipe(const TomlDocument& document, const std::vector<std::string>& overrides);

// The resolved recipe, which reads back as the same.
std::string recipe_toml(const Recipe& recipe);
// Every key of a recipe and of each kind of stage, with its default and meaning.
std::string recipe_help();

}  // namespace r1
