#include "recipe/runner.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "io/safetensors.h"
#include "model/attention_mla.h"
#include "recipe/examples.h"
#include "recipe/task_prompts.h"
#include "tasks/countdown.h"
#include "tasks/file_task.h"
#include "train/checkpoint.h"

namespace r1 {
namespace {

// Held-out problems and the draws of evaluations are the same in every run: accuracies compare.
constexpr uint64_t kEvaluationSeed = 20;

double seconds_now() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Where a run stands: what the checkpoints' state holds.
struct Position {
  int64_t stage = 0;         // index of the stage to go on with
  int64_t step = 0;          // its steps that are done
  int64_t steps_before = 0;  // of all stages before it
  double seconds = 0;        // that the stage has taken
  int64_t next_example = 0;
  std::optional<CheckpointInfo> checkpoint;
};

Position read_position(const std::filesystem::path& checkpoints, const Recipe& recipe,
                       Ledger& ledger) {
  Position p;
  p.checkpoint = newest_checkpoint(checkpoints);
  if (!p.checkpoint) return p;
  const std::string where = p.checkpoint->path.string() + "/trainer_state.json";
  const Json& s = p.checkpoint->state;
  try {
    p.stage = s.at("stage").get<int64_t>();
    p.step = s.at("step").get<int64_t>();
    p.steps_before = s.at("steps_before").get<int64_t>();
    p.seconds = s.at("seconds").get<double>();
    p.next_example = s.at("next_example").get<int64_t>();
    if (s.at("stage_done").get<bool>()) {
      p = {p.stage + 1, 0, p.steps_before + p.step, 0, 0, p.checkpoint};
    }
    ledger = Ledger::from_json(s.at("ledger"), where);
  } catch (const Json::exception& e) {
    throw InputError(where + ": " + e.what());
  }
  if (p.stage < 0 || p.stage > static_cast<int64_t>(recipe.stages.size())) {
    throw InputError(where + ": stage " + std::to_string(p.stage) + " is not in the recipe");
  }
  return p;
}

// A run goes on with the recipe it began with, or not at all. The version may differ.
void check_same_recipe(const std::filesystem::path& file, const std::string& resolved) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return;
  std::istringstream before(read_file(file)), now(resolved);
  for (std::string a, b;;) {
    const bool more_a = static_cast<bool>(std::getline(before, a));
    const bool more_b = static_cast<bool>(std::getline(now, b));
    if (!more_a && !more_b) return;
    if (more_a && more_b && (a == b || (a.starts_with("version") && b.starts_with("version")))) {
      continue;
    }
    throw InputError(file.string() + ": the folder holds a run of another recipe: it has '" +
                     (more_a ? a : "") + "' where this one has '" + (more_b ? b : "") +
                     "'; choose another --out");
  }
}

ModelConfig new_model_config(const NewModelConfig& c, const Tokenizer& tokenizer) {
  Json json = Json::object();
  const Json fields = config_json(c);
  for (const auto& [key, value] : fields.items()) {
    if (value != 0) json[key] = value;
  }
  json["architectures"] = {c.architecture};
  json["vocab_size"] = tokenizer.vocab_size();
  if (c.kv_lora_rank > 0) json["num_key_value_heads"] = c.num_attention_heads;
  if (const auto eos = tokenizer.token_to_id("<|endoftext|>")) json["eos_token_id"] = *eos;
  return parse_model_config(json, "new_model");
}

// Which form of multi-head latent attention the whole run computes.
bool expand_mla(const Recipe& recipe, const ModelConfig& config) {
  if (recipe.mla != "auto") return config.mla() && recipe.mla == "expanded";
  for (const StageConfig& stage : recipe.stages) {
    if (!std::holds_alternative<SupervisedStage>(stage)) return false;
  }
  return mla_expanded_is_cheaper(config);
}

// What of the config is the run's to say, not the model's.
void set_run_options(const Recipe& recipe, ModelConfig& config) {
  config.mla_expanded = expand_mla(recipe, config);
  config.kv_cache_dtype = parse_kv_type(recipe.kv_cache_dtype, "kv_cache_dtype");
}

// "arithmetic >= 0.99"
struct Gate {
  std::string skill;
  double least = 0;
};

Gate parse_gate(const std::string& text) {
  std::istringstream in(text);
  Gate gate;
  std::string relation, rest;
  const auto known = CountdownSkills().shares();
  const bool ok = in >> gate.skill >> relation >> gate.least && relation == ">=" && !(in >> rest);
  const bool is_known =
      std::any_of(known.begin(), known.end(), [&](const auto& s) { return s.first == gate.skill; });
  if (ok && is_known) return gate;
  std::string names;
  for (const auto& [name, share] : known) names += (names.empty() ? "" : ", ") + name;
  throw InputError("gate " + in_quotes(text) + ": expected \"SKILL >= SHARE\" with one of " +
                   names);
}

// What is missing for the gates to open; empty where nothing is.
std::string failed_gates(const std::vector<Gate>& gates, const CountdownSkills& skills) {
  std::string failed;
  for (const Gate& gate : gates) {
    for (const auto& [name, share] : skills.shares()) {
      if (name != gate.skill || share.value() >= gate.least) continue;
      failed += (failed.empty() ? "" : ", ") + name + " is " + std::to_string(share.value()) +
                " where " + std::to_string(gate.least) + " is asked";
    }
  }
  return failed;
}

class Runner {
 public:
  Runner(const Recipe& recipe, RunFolder& folder, Ops& ops, RunListener& listener)
      : recipe_(recipe), folder_(folder), ops_(ops), listener_(listener) {}

  RunResult run();

 private:
  void load_model();
  // The two kinds of stage that train share this loop: `take_step` does one step and returns its
  // row of metrics, `finish` runs between the last step and the stage's last checkpoint.
  struct TrainingLoop {
    TrainingLoop(std::string name, Trainer& t) : stage(std::move(name)), trainer(t) {}
    std::string stage;
    Trainer& trainer;
    int64_t steps = 0, save_steps = 0, logging_steps = 1;
    double max_seconds = 0;
    std::function<OrderedJson(int64_t step)> take_step;
    std::function<std::span<const float>()> reference = [] { return std::span<const float>(); };
    std::function<int64_t()> next_example = [] { return int64_t{0}; };
    std::function<void(int64_t step)> after_step = [](int64_t) {};
    std::function<void(int64_t step)> finish = [](int64_t) {};
  };
  void train(const TrainingLoop& loop);
  void run_stage(const SupervisedStage& stage);
  void run_stage(const GrpoStage& stage);
  void run_stage(const EvalStage& stage);

  struct EvaluationPlan {
    std::string stage, label;
    int64_t step = 0, problems = 0;
    RolloutOptions rollout;
    // Adds what more is to be noted to the row of metrics; may be empty.
    std::function<void(const std::vector<RolloutGroup>&, OrderedJson& row)> extend;
  };
  void evaluate(const EvaluationPlan& plan, const Task& task, Engine& engine);
  void keep_completions(const std::string& stage, int64_t step, const GrpoStep& result);
  EngineOptions engine_options() const;
  std::optional<ChatFormat> chat_format() const {
    return ChatFormat::of(companions_.tokenizer, *tokenizer_, "the model's folder");
  }
  PromptFunction stage_prompts(const StageTask& stage) const {
    return task_prompts(chat_format(), *tokenizer_, stage.system);
  }
  uint64_t stage_seed() const {
    return mix_seed(recipe_.seed, static_cast<uint64_t>(position_.stage));
  }
  double flops(int64_t tokens, double context) const {
    return static_cast<double>(tokens) * model_->config().forward_flops(context);
  }

  const Recipe& recipe_;
  RunFolder& folder_;
  Ops& ops_;
  RunListener& listener_;
  ModelCompanions companions_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<Model> model_;
  Ledger ledger_;
  Position position_;
};

RunResult Runner::run() {
  const std::string resolved = recipe_toml(recipe_);
  check_same_recipe(folder_.recipe_path(), resolved);
  for (const StageConfig& stage : recipe_.stages) check_stage_name(stage_name(stage));
  load_model();
  folder_.write_recipe(resolved);
  std::set<std::string> evaluated;
  for_each_row(folder_.path() / "metrics.jsonl", [&](const Json& row, int64_t) {
    if (row.contains("label") && row.value("gate_open", 1) != 0) {
      evaluated.insert(row.value("stage", ""));
    }
  });
  RunResult result;
  result.was_finished = true;
  for (; position_.stage < static_cast<int64_t>(recipe_.stages.size()); ++position_.stage) {
    const StageConfig& stage = recipe_.stages[static_cast<size_t>(position_.stage)];
    if (std::holds_alternative<EvalStage>(stage) && evaluated.contains(stage_name(stage))) continue;
    result.was_finished = false;
    folder_.drop_after(stage_name(stage), position_.step > 0 ? position_.step : -1);
    ledger_.begin_stage(stage_name(stage));
    std::visit([&](const auto& config) { run_stage(config); }, stage);
    folder_.write_ledger(ledger_);
    position_.steps_before += position_.step;
    position_.step = 0;
    position_.seconds = 0;
    position_.next_example = 0;
  }
  const auto newest = newest_checkpoint(folder_.checkpoints_path());
  result.model = newest ? newest->path : resolve_model(recipe_.model);
  return result;
}

void Runner::load_model() {
  position_ = read_position(folder_.checkpoints_path(), recipe_, ledger_);
  const DType dtype = recipe_.dtype == "BF16" ? DType::kBF16 : DType::kF32;
  if (!position_.checkpoint && recipe_.model.empty() && !recipe_.tokenizer.empty()) {
    companions_.tokenizer = tokenizer_files(recipe_.tokenizer);
    tokenizer_ = parse_tokenizer(companions_.tokenizer, recipe_.tokenizer);
    ModelConfig config = new_model_config(recipe_.new_model, *tokenizer_);
    set_run_options(recipe_, config);
    model_ = Model::create(config, recipe_.seed, ops_, dtype);
    return;
  }
  ModelFiles files = open_model_files(position_.checkpoint ? position_.checkpoint->path
                                                           : resolve_model(recipe_.model));
  companions_ = files;
  tokenizer_ = parse_tokenizer(files.tokenizer, files.where("tokenizer.json"));
  set_run_options(recipe_, files.config);
  model_ = Model::load(files.config, files.tensors, ops_, dtype, Model::Use::kTraining);
}

EngineOptions Runner::engine_options() const {
  EngineOptions options;
  options.max_context = model_->max_positions();
  options.kept_pages = options.max_sequences;
  return options;
}

void Runner::train(const TrainingLoop& loop) {
  auto checkpoint = [&](bool done) {
    folder_.sync();
    const Json state = {{"stage", position_.stage},
                        {"step", position_.step},
                        {"steps_before", position_.steps_before},
                        {"seconds", position_.seconds},
                        {"next_example", loop.next_example()},
                        {"stage_done", done},
                        {"ledger", Json(ledger_.to_json())}};
    save_checkpoint(folder_.checkpoints_path(), position_.steps_before + position_.step,
                    loop.trainer, loop.reference(), companions_, state);
    prune_checkpoints(folder_.checkpoints_path(), recipe_.save_total_limit);
    folder_.write_ledger(ledger_);
  };
  bool out_of_time = false;
  while (position_.step < loop.steps && !out_of_time) {
    const double begin = seconds_now();
    OrderedJson row = loop.take_step(position_.step);
    ++position_.step;
    position_.seconds += seconds_now() - begin;
    out_of_time = loop.max_seconds > 0 && position_.seconds >= loop.max_seconds;
    const bool last = position_.step == loop.steps || out_of_time;
    listener_.on_metrics(row);
    if (position_.step % loop.logging_steps == 0 || last) folder_.add_metrics(std::move(row));
    if (last) break;
    loop.after_step(position_.step);
    if (loop.save_steps > 0 && position_.step % loop.save_steps == 0) checkpoint(false);
  }
  if (out_of_time && position_.step < loop.steps) {
    listener_.on_time_limit(loop.max_seconds, position_.step, loop.steps);
  }
  loop.finish(position_.step);
  checkpoint(true);
}

void Runner::run_stage(const SupervisedStage& stage) {
  Trainer trainer(*model_, ops_, stage.optimizer, stage.gradient_checkpointing);
  const auto& ends = model_->config().eos_token_ids;
  Supervised supervised(
      trainer,
      make_examples(stage, *tokenizer_, chat_format(), ends.empty() ? -1 : ends[0],
                    model_->max_positions(), stage_seed()),
      stage);
  if (position_.step > 0) {
    load_trainer_state(*position_.checkpoint, trainer);
    supervised.set_next_example(position_.next_example);
  }
  listener_.on_stage(stage, position_.step, stage.max_steps);
  TrainingLoop loop(stage.name, trainer);
  loop.steps = stage.max_steps;
  loop.save_steps = stage.save_steps;
  loop.logging_steps = stage.logging_steps;
  loop.next_example = [&] { return supervised.next_example(); };
  loop.take_step = [&](int64_t step) -> OrderedJson {
    const double begin = seconds_now();
    const SupervisedStep s = supervised.step(step);
    const double seconds = seconds_now() - begin;
    ledger_.add(stage.name, 0, s.tokens, 3 * flops(s.tokens, 0), seconds);
    return {
        {"stage", stage.name},      {"step", step + 1},
        {"loss", s.loss},           {"learning_rate", s.learning_rate},
        {"grad_norm", s.grad_norm}, {"tokens_per_second", static_cast<double>(s.tokens) / seconds},
        {"tokens", s.tokens},       {"seconds", seconds}};
  };
  train(loop);
}

void Runner::run_stage(const GrpoStage& stage) {
  // A file's problems are split in two, as a built-in task's are.
  const auto task =
      open_task(stage.task, stage.knobs, {stage.verifier, stage.prompt_template, true});
  const PromptFunction prompts = stage_prompts(stage);
  Trainer trainer(*model_, ops_, stage.optimizer, stage.gradient_checkpointing);
  Engine engine(*model_, ops_, engine_options(), &*tokenizer_);
  Grpo grpo(trainer, ops_, engine, *tokenizer_, *task, stage, stage_seed());
  grpo.set_prompts(prompts);
  if (position_.step > 0) {
    const auto reference = load_trainer_state(*position_.checkpoint, trainer);
    if (!reference.empty()) grpo.set_reference(reference);
  }
  EvaluationPlan plan{stage.name, "before", 0, stage.eval_problems, {}, {}};
  plan.rollout.sampling = stage.sampling;
  plan.rollout.max_completion_length = stage.max_completion_length;
  plan.rollout.prompts = prompts;
  if (position_.step == 0) evaluate(plan, *task, engine);
  listener_.on_stage(stage, position_.step, stage.max_steps);

  TrainingLoop loop(stage.name, trainer);
  loop.steps = stage.max_steps;
  loop.save_steps = stage.save_steps;
  loop.max_seconds = stage.max_seconds;
  loop.reference = [&] { return grpo.reference(); };
  loop.take_step = [&](int64_t step) -> OrderedJson {
    const double begin = seconds_now();
    const double all = static_cast<double>(stage.prompts_per_step * stage.num_generations);
    const GrpoStep s = grpo.step(step, [&](int64_t done) {
      listener_.on_progress(stage.name, step, 0.6 * static_cast<double>(done) / all);
    });
    const double seconds = seconds_now() - begin;
    ledger_.add(
        stage.name, s.tokens_sampled, s.tokens_trained,
        flops(s.tokens_sampled + s.prompt_tokens + 3 * s.tokens_trained, s.completion_length / 2),
        seconds);
    if (stage.log_completions_steps > 0 && step % stage.log_completions_steps == 0) {
      keep_completions(stage.name, step + 1, s);
    }
    listener_.on_rollout(step, s);
    return {{"stage", stage.name},
            {"step", step + 1},
            {"reward", s.reward},
            {"accuracy", s.accuracy},
            {"reward_std", s.reward_std},
            {"completion_length", s.completion_length},
            {"entropy", s.entropy},
            {"kl", s.kl},
            {"loss", s.loss},
            {"grad_norm", s.grad_norm},
            {"learning_rate", s.learning_rate},
            {"tokens_per_second", static_cast<double>(s.tokens_sampled) / seconds},
            {"mixed_groups", s.mixed_groups},
            {"logprob_mismatch", s.logprob_mismatch},
            {"tokens_sampled", s.tokens_sampled},
            {"tokens_trained", s.tokens_trained},
            {"seconds", seconds},
            {"clip_ratio", s.clip_ratio},
            {"unparseable", s.unparseable},
            {"truncated", s.truncated}};
  };
  auto evaluate_at = [&](const char* label, int64_t step) {
    plan.label = label;
    plan.step = step;
    evaluate(plan, *task, engine);
  };
  loop.after_step = [&](int64_t step) {
    if (stage.eval_steps > 0 && step % stage.eval_steps == 0) evaluate_at("step", step);
  };
  loop.finish = [&](int64_t step) { evaluate_at("after", step); };
  train(loop);
}

void Runner::run_stage(const EvalStage& stage) {
  const auto task =
      open_task(stage.task, stage.knobs, {stage.verifier, stage.prompt_template, false});
  const PromptFunction prompts = stage_prompts(stage);
  std::vector<Gate> gates;
  for (const std::string& text : stage.gate) gates.push_back(parse_gate(text));
  if (!gates.empty() && stage.task != "countdown") {
    throw InputError("stage " + stage.name + ": gates are on skills of countdown, not of " +
                     stage.task);
  }
  listener_.on_stage(stage, 0, 0);
  Engine engine(*model_, ops_, engine_options(), &*tokenizer_);
  EvaluationPlan plan{stage.name,
                      stage.name,
                      position_.steps_before,
                      stage.problems,
                      {stage.sampling, stage.samples, stage.max_completion_length},
                      {}};
  plan.rollout.prompts = prompts;
  CountdownSkills skills;
  std::string failed;
  plan.extend = [&](const std::vector<RolloutGroup>& groups, OrderedJson& row) {
    if (stage.task != "countdown") return;
    for (const RolloutGroup& g : groups) {
      const CountdownProblem problem = countdown_problem(g.problem);
      for (const GradedCompletion& c : g.completions) skills.add(problem, c.text);
    }
    for (const auto& [name, share] : skills.shares()) row["skill_" + name] = share.value();
    failed = failed_gates(gates, skills);
    if (!gates.empty()) row["gate_open"] = failed.empty() ? 1 : 0;
  };
  evaluate(plan, *task, engine);
  if (stage.task == "countdown") listener_.on_skills(skills.shares());
  if (!failed.empty()) throw JobError("stage " + stage.name + ": the gate is closed: " + failed);
}

void Runner::evaluate(const EvaluationPlan& plan, const Task& task, Engine& engine) {
  const double begin = seconds_now();
  auto problems = evaluation_problems(task, Split::kTest, plan.problems, kEvaluationSeed);
  const double all =
      static_cast<double>(problems.size()) * static_cast<double>(plan.rollout.num_generations);
  auto groups = sample_rollouts(engine, *tokenizer_, model_->config(), task, std::move(problems),
                                plan.rollout, kEvaluationSeed,
                                {[&](int64_t done) {
                                   listener_.on_progress(plan.stage, plan.step,
                                                         static_cast<double>(done) / all);
                                 },
                                 {}});
  const Evaluation e = evaluate_groups(groups);
  const double seconds = seconds_now() - begin;
  ledger_.add(plan.stage, e.tokens_sampled, 0, flops(e.tokens_sampled, e.completion_length / 2),
              seconds);
  OrderedJson row = {{"stage", plan.stage},
                     {"label", plan.label},
                     {"step", plan.step},
                     {"accuracy", e.accuracy.value},
                     {"accuracy_low", e.accuracy.low},
                     {"accuracy_high", e.accuracy.high},
                     {"n", e.problems},
                     {"samples", e.samples},
                     {"pass_at_k", e.at_k.back().pass.value},
                     {"majority_at_k", e.at_k.back().majority.value},
                     {"completion_length", e.completion_length},
                     {"unparseable", e.unparseable},
                     {"truncated", e.truncated},
                     {"seconds", seconds}};
  if (plan.extend) plan.extend(groups, row);
  folder_.add_metrics(std::move(row));
  listener_.on_evaluation(plan.label, plan.step, e, groups);
}

void Runner::keep_completions(const std::string& stage, int64_t step, const GrpoStep& result) {
  std::vector<CompletionRow> rows;
  for (size_t g = 0; g < result.groups.size(); ++g) {
    for (size_t i = 0; i < result.groups[g].completions.size(); ++i) {
      const GradedCompletion& c = result.groups[g].completions[i];
      CompletionRow row;
      row.step = step;
      row.prompt = tokenizer_->decode(result.groups[g].prompt);
      row.completion = c.text;
      StreamDecoder decoder(*tokenizer_, false);
      for (const int32_t id : c.completion.ids) row.tokens.push_back(decoder.push(id));
      if (!row.tokens.empty()) row.tokens.back() += decoder.finish();
      row.logprobs = c.completion.logprobs;
      row.rewards = {{"correct", c.verdict.reward}};
      row.reward = c.verdict.reward;
      row.advantage = result.advantages[g][i];
      row.correct = c.verdict.correct();
      row.reason = c.verdict.reason;
      rows.push_back(std::move(row));
    }
  }
  folder_.add_completions(stage, rows);
}

}  // namespace

RunResult run_recipe(const Recipe& recipe, RunFolder& folder, Ops& ops, RunListener& listener) {
  return Runner(recipe, folder, ops, listener).run();
}

}  // namespace r1
