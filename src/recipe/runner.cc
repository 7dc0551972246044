#include "recipe/runner.h"

#include <algorithm>

#include "base/error.h"
#include "model/attention_mla.h"
#include "recipe/resume.h"
#include "recipe/stage_run.h"

namespace r1 {
namespace {

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
  for (const auto& stage : recipe.stages) {
    if (stage->samples()) return false;
  }
  return mla_expanded_is_cheaper(config);
}

// What of the config is the run's to say, not the model's.
void set_run_options(const Recipe& recipe, ModelConfig& config) {
  config.mla_expanded = expand_mla(recipe, config);
  config.kv_cache_dtype = parse_kv_type(recipe.kv_cache_dtype, "kv_cache_dtype");
}

DType dtype_of(const Recipe& recipe) {
  return recipe.dtype == "BF16" ? DType::kBF16 : DType::kF32;
}

void create_model(const Recipe& recipe, Ops& ops, RunModel& out) {
  out.companions.tokenizer = tokenizer_files(recipe.tokenizer);
  out.tokenizer = parse_tokenizer(out.companions.tokenizer, recipe.tokenizer);
  ModelConfig config = new_model_config(recipe.new_model, *out.tokenizer);
  set_run_options(recipe, config);
  out.model = Model::create(config, recipe.seed, ops, dtype_of(recipe));
}

void open_model(const Recipe& recipe, const std::filesystem::path& path, Ops& ops, RunModel& out) {
  ModelFiles files = open_model_files(path);
  out.companions = files;
  out.tokenizer = parse_tokenizer(files.tokenizer, files.where("tokenizer.json"));
  set_run_options(recipe, files.config);
  out.model =
      Model::load(files.config, files.tensors, ops, dtype_of(recipe), Model::Use::kTraining);
}

class Runner {
 public:
  Runner(const Recipe& recipe, RunFolder& folder, Ops& ops, RunListener& listener)
      : recipe_(recipe), folder_(folder), ops_(ops), listener_(listener) {}

  RunResult run();

 private:
  const Stage& stage(int64_t index) const { return *recipe_.stages[static_cast<size_t>(index)]; }
  int64_t stages() const { return static_cast<int64_t>(recipe_.stages.size()); }

  void read_position();
  bool goes_on(const Json& state) const;
  void check_changes() const;
  void note_changes();
  bool is_done(int64_t index) const;
  void skip_done();
  void prepare_model();
  void run_stage();
  void begin_next_stage();

  const Recipe& recipe_;
  RunFolder& folder_;
  Ops& ops_;
  RunListener& listener_;
  std::vector<RecipeChange> changes_;
  Position position_;
  RunModel model_;
  Ledger ledger_;
};

RunResult Runner::run() {
  for (const auto& stage : recipe_.stages) check_stage_name(stage->name());
  changes_ = recipe_changes(folder_.recipe_path(), recipe_);
  read_position();
  check_changes();
  skip_done();
  RunResult result;
  result.was_finished = position_.stage == stages();
  // A recipe whose model cannot be opened leaves no trace in the folder.
  if (!result.was_finished) prepare_model();
  note_changes();
  folder_.write_recipe(recipe_toml(recipe_));
  for (; position_.stage < stages(); skip_done()) run_stage();
  const auto newest = newest_checkpoint(folder_.checkpoints_path());
  result.model = newest ? newest->path : resolve_model(recipe_.model);
  return result;
}

// From the newest checkpoint's state.
void Runner::read_position() {
  position_.checkpoint = newest_checkpoint(folder_.checkpoints_path());
  if (!position_.checkpoint) return;
  const std::string where = position_.checkpoint->path.string() + "/trainer_state.json";
  const Json& s = position_.checkpoint->state;
  try {
    position_.stage = s.at("stage").get<int64_t>();
    position_.step = s.at("step").get<int64_t>();
    position_.steps_before = s.at("steps_before").get<int64_t>();
    position_.seconds = s.at("seconds").get<double>();
    position_.next_example = s.at("next_example").get<int64_t>();
    if (s.contains("models")) s["models"].get_to(position_.models);
    ledger_ = Ledger::from_json(s.at("ledger"), where);
    if (position_.stage < 0 || position_.stage >= stages()) {
      throw InputError(where + ": stage " + std::to_string(position_.stage) +
                       " is not in the recipe");
    }
    if (!s.at("stage_done").get<bool>()) return;
    const std::string& name = stage(position_.stage).name();
    if (goes_on(s)) {
      position_.models.erase(name);
      return;
    }
    position_.models[name] = position_.checkpoint->step;
    position_.steps_before += position_.step;
    begin_next_stage();
  } catch (const Json::exception& e) {
    throw InputError(where + ": " + e.what());
  }
}

// Whether a stage that had ended has more to do, because its limits were raised since.
bool Runner::goes_on(const Json& state) const {
  const Stage& s = stage(position_.stage);
  // The limits it ended with. Older checkpoints do not say; the recipe beside them does.
  auto before = [&](const char* key, double now) {
    if (state.contains(key)) return state[key].get<double>();
    for (const RecipeChange& c : changes_) {
      if (c.stage == position_.stage && c.key == key) return std::stod(c.before);
    }
    return now;
  };
  if (position_.step >= s.max_steps()) return false;
  if (s.max_seconds() > 0 && position_.seconds >= s.max_seconds()) return false;
  const bool by_time =
      static_cast<double>(position_.step) < before("max_steps", static_cast<double>(s.max_steps()));
  return !by_time || s.max_seconds() == 0 ||
         s.max_seconds() > before("max_seconds", s.max_seconds());
}

// How long a stage trains can change while nothing stands on its model, and never to less than it
// has taken.
void Runner::check_changes() const {
  if (!position_.checkpoint) return;
  const int64_t newest = position_.checkpoint->state.at("stage");
  const int64_t steps = position_.checkpoint->state.at("step");
  for (const RecipeChange& c : changes_) {
    if (c.key != "max_steps" && c.key != "max_seconds") continue;
    const std::string what = folder_.recipe_path().string() + ": " + stage(c.stage).name() + "." +
                             c.key + " is " + c.before + " there and " + c.after + " here, but ";
    if (c.stage < newest) {
      throw InputError(what + "a later stage has begun; choose another --out");
    }
    if (c.stage == newest && stage(c.stage).max_steps() < steps) {
      throw InputError(what + std::to_string(steps) + " steps were taken; choose another --out");
    }
  }
}

// A row of metrics for each key that the run goes on with another value of.
void Runner::note_changes() {
  ChangeMetrics row;
  if (position_.stage < stages()) {
    row.stage = stage(position_.stage).name();
    row.step = position_.step;
  } else {
    row.stage = stage(stages() - 1).name();
  }
  for (const RecipeChange& c : changes_) {
    row.change = c.stage < 0 ? c.key : stage(c.stage).name() + "." + c.key;
    row.before = c.before;
    row.after = c.after;
    folder_.add_metrics(metrics_row(row));
    listener_.on_change(row);
  }
}

// Whether a stage that leaves no model was run before.
bool Runner::is_done(int64_t index) const {
  const Stage& s = stage(index);
  std::error_code ignored;
  if (s.output() == StageOutput::kDataset) {
    return std::filesystem::exists(folder_.dataset_path(s.name()), ignored);
  }
  bool evaluated = false;
  for_each_row(folder_.path() / "metrics.jsonl", [&](const Json& json, int64_t) {
    const auto row = read_metrics<EvaluationMetrics>(json);
    if (row.label.empty() || row.stage != s.name()) return;
    evaluated = row.gate_open.value_or(1) != 0;
  });
  return evaluated;
}

void Runner::skip_done() {
  while (position_.stage < stages() && position_.step == 0 &&
         stage(position_.stage).output() != StageOutput::kModel && is_done(position_.stage)) {
    begin_next_stage();
  }
}

// The model that the stage at hand goes on with or starts from, unless it is the one that is open.
void Runner::prepare_model() {
  const bool goes_on = position_.step > 0;
  const int64_t of = goes_on ? position_.stage : recipe_.model_of(position_.stage);
  if (model_.model && model_.stage == of) return;
  model_.model.reset();
  model_.stage = of;
  if (goes_on) {
    open_model(recipe_, position_.checkpoint->path, ops_, model_);
  } else if (of >= 0) {
    const int64_t step = position_.models.at(stage(of).name());
    open_model(recipe_, checkpoint_at(folder_.checkpoints_path(), step).path, ops_, model_);
  } else if (recipe_.model.empty() && !recipe_.tokenizer.empty()) {
    create_model(recipe_, ops_, model_);
  } else {
    open_model(recipe_, resolve_model(recipe_.model), ops_, model_);
  }
}

void Runner::run_stage() {
  const Stage& s = stage(position_.stage);
  prepare_model();
  folder_.drop_after(s.name(), position_.step > 0 ? position_.step : -1);
  const bool trains = s.output() == StageOutput::kModel;
  // What later stages left was of another model: the run had gone further before.
  for (int64_t i = position_.stage + 1; trains && i < stages(); ++i) {
    folder_.drop_after(stage(i).name(), -1);
  }
  ledger_.begin_stage(s.name());
  StageRun run(recipe_, s, folder_, ops_, listener_, model_, position_, ledger_);
  s.run(run);
  folder_.write_ledger(ledger_);
  if (trains) model_.stage = position_.stage;
  position_.steps_before += position_.step;
  begin_next_stage();
}

void Runner::begin_next_stage() {
  ++position_.stage;
  position_.step = position_.next_example = 0;
  position_.seconds = 0;
}

}  // namespace

RunResult run_recipe(const Recipe& recipe, RunFolder& folder, Ops& ops, RunListener& listener) {
  return Runner(recipe, folder, ops, listener).run();
}

}  // namespace r1
