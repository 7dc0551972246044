// A recipe: a TOML file that says what model to start from and which stages to run.
//
//   name = "countdown-zero"
//   model = "models/countdown-base"      # or a [new_model] table, to start from nothing
//   [[stage]]
//   kind = "grpo"                        # pretrain, sft, grpo, eval
//   task = "countdown"
//
// Stages run in order, each on the model that the one before it left. The options' names are those
// of TRL's SFTConfig and GRPOConfig where it has them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/config.h"
#include "model/config.h"
#include "model/sampling.h"
#include "rl/grpo.h"
#include "tasks/countdown_traces.h"
#include "train/supervised.h"

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

// A task of reinforcement learning or of an evaluation.
struct StageTask {
  std::string task = "countdown";
  std::map<std::string, int64_t> knobs;
  std::string verifier, prompt_template, system;

  template <class V>
  void visit(V& v) {
    v("task", task, "a built-in task (see r1 task list), or a FILE.jsonl with problem and answer");
    v("knobs", knobs, "a built-in task's difficulty");
    v("verifier", verifier,
      "what grades a file's problems: math, choice, exact, code; empty: by the rows' fields");
    v("prompt_template", prompt_template,
      "what a file's question becomes, with {problem} in it; empty: the verifier's instruction");
    v("system", system, "the system prompt before a file's question; empty: none");
  }
};

template <class V>
void visit_stage(V& v, std::string& kind, std::string& name) {
  v("kind", kind, "what the stage does", one_of({"pretrain", "sft", "grpo", "eval"}));
  v("name", name, "names the stage in --set, metrics and checkpoints; empty: its kind");
}

// Next-token training: `pretrain` and `sft` differ in their usual data alone.
struct SupervisedStage : SupervisedOptions {
  std::string kind = "pretrain", name;
  std::string task = "countdown";
  std::map<std::string, int64_t> knobs;
  std::string dataset;
  TraceOptions traces;
  OptimizerOptions optimizer;
  bool gradient_checkpointing = false;
  int64_t logging_steps = 20, save_steps = 1000;

  template <class V>
  void visit(V& v) {
    visit_stage(v, kind, name);
    v("task", task, "a built-in task whose worked solutions are the data; see r1 task list");
    v("knobs", knobs, "the task's difficulty");
    v("dataset", dataset,
      "a JSONL file instead: rows with prompt or problem, and completion, or messages (the loss is "
      "on the completion), or text");
    v("traces", traces, "how countdown's solutions are written");
    SupervisedOptions::visit(v);
    v("optimizer", optimizer, "AdamW");
    v("gradient_checkpointing", gradient_checkpointing, "recompute activations to save memory");
    v("logging_steps", logging_steps, "steps between rows of metrics", at_least(1));
    v("save_steps", save_steps, "steps between checkpoints; 0: at the end alone", at_least(0));
  }
};

// The GRPO options themselves stand in rl/grpo.h; their keys are the stage's own.
struct GrpoStage : GrpoConfig, StageTask {
  std::string kind = "grpo", name;
  double max_seconds = 0;
  int64_t eval_steps = 0, eval_problems = 500, save_steps = 20, log_completions_steps = 1;

  template <class V>
  void visit(V& v) {
    visit_stage(v, kind, name);
    StageTask::visit(v);
    v("max_seconds", max_seconds, "stop after the step that passes this time; 0: no limit",
      at_least(0));
    v("eval_steps", eval_steps,
      "steps between evaluations on held-out problems; 0: before and after", at_least(0));
    v("eval_problems", eval_problems, "held-out problems of an evaluation", at_least(1));
    v("save_steps", save_steps, "steps between checkpoints; 0: at the end alone", at_least(0));
    v("log_completions_steps", log_completions_steps, "steps between rollouts kept whole; 0: none",
      at_least(0));
    GrpoConfig::visit(v);
  }
};

struct EvalStage : StageTask {
  std::string kind = "eval", name;
  int64_t problems = 500, samples = 1, max_completion_length = 448;
  SamplingParams sampling;
  std::vector<std::string> gate;

  template <class V>
  void visit(V& v) {
    visit_stage(v, kind, name);
    StageTask::visit(v);
    v("problems", problems, "held-out problems", at_least(1));
    v("samples", samples, "completions of each", at_least(1));
    v("max_completion_length", max_completion_length, "longest completion in tokens", at_least(1));
    v("sampling", sampling, "the distribution completions are drawn from");
    v("gate", gate, "skills that must reach a share or the run fails, e.g. \"arithmetic >= 0.99\"");
  }
};

using StageConfig = std::variant<SupervisedStage, GrpoStage, EvalStage>;
const std::string& stage_name(const StageConfig& stage);

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
  std::vector<StageConfig> stages;  // [[stage]] tables; names differ

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
    v("save_total_limit", save_total_limit, "checkpoints kept, the newest", at_least(1));
    v("new_model", new_model, "a model to start from nothing");
  }
};

// InputError names the file, the line and the key. `overrides` are key=value: of the recipe, or of
// a stage by its name ("grpo.learning_rate=1e-4"). Relative paths in it are relative to the current
// folder.
Recipe read_recipe(const std::filesystem::path& file, const std::vector<std::string>& overrides);
Recipe parse_recipe(const TomlDocument& document, const std::vector<std::string>& overrides);

// The resolved recipe, which reads back as the same.
std::string recipe_toml(const Recipe& recipe);

}  // namespace r1
