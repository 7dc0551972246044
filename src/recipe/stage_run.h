// What a running stage is given: the model it starts from, the run's folder, the ledger, and what
// the kinds of stages share: the training loop with its checkpoints, evaluations, prompts.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "package/model_chat.h"
#include "package/model_files.h"
#include "recipe/metrics.h"
#include "recipe/recipe.h"
#include "recipe/run_folder.h"
#include "recipe/stage_task.h"
#include "train/checkpoint.h"

namespace r1 {

class RunListener;

// Where a run stands: what the checkpoints' state holds.
struct Position {
  int64_t stage = 0;         // index of the stage to go on with
  int64_t step = 0;          // its steps that are done
  int64_t steps_before = 0;  // of all stages before it
  double seconds = 0;        // that the stage has taken
  int64_t next_example = 0;
  std::map<std::string, int64_t> models;  // the checkpoints that stages ended with, by stage
  std::optional<CheckpointInfo> checkpoint;
};

// The model that stages work on, and what belongs to it.
struct RunModel {
  int64_t stage = -1;  // whose model it is; -1: the recipe's own
  ModelCompanions companions;
  std::optional<Tokenizer> tokenizer;
  std::optional<Model> model;
};

// Steps of training. take_step does one and returns its row of metrics; `after_step` runs between
// two steps, `finish` between the last one and the stage's last checkpoint.
struct TrainingLoop {
  explicit TrainingLoop(Trainer& t) : trainer(t) {}
  Trainer& trainer;
  int64_t save_steps = 0, logging_steps = 1;
  std::function<OrderedJson(int64_t step)> take_step;
  std::function<std::span<const float>()> reference = [] { return std::span<const float>(); };
  std::function<int64_t()> next_example = [] { return int64_t{0}; };
  std::function<void(int64_t step)> after_step = [](int64_t) {};
  std::function<void(int64_t step)> finish = [](int64_t) {};
};

struct EvaluationPlan {
  std::string label;
  int64_t step = 0, problems = 0;
  RolloutOptions rollout;
  // Adds what more is to be noted; may be empty.
  std::function<void(const std::vector<RolloutGroup>&, EvaluationMetrics& row)> extend = {};
};

// Tokens of a sampling or training step, and what they cost.
struct StepCost {
  int64_t tokens_sampled = 0, tokens_trained = 0;
  double flops = 0, seconds = 0;
};

class StageRun {
 public:
  // All must outlive it.
  StageRun(const Recipe& recipe, const Stage& stage, RunFolder& folder, Ops& ops,
           RunListener& listener, RunModel& model, Position& position, Ledger& ledger)
      : recipe_(recipe),
        stage_(stage),
        folder_(folder),
        ops_(ops),
        listener_(listener),
        model_(model),
        position_(position),
        ledger_(ledger) {}

  Model& model() const { return *model_.model; }
  const Tokenizer& tokenizer() const { return *model_.tokenizer; }
  Ops& ops() const { return ops_; }
  RunFolder& folder() const { return folder_; }
  RunListener& listener() const { return listener_; }
  uint64_t seed() const;
  EngineOptions engine_options() const;
  std::optional<ChatFormat> chat_format() const;
  PromptFunction prompts(const StageTask& task) const;
  // A data set's file: an earlier stage's where `dataset` names one, else `dataset` itself.
  std::filesystem::path dataset_file(const std::string& dataset) const;

  // --- where the stage stands ---
  int64_t steps_done() const { return position_.step; }
  int64_t steps_before() const { return position_.steps_before; }
  int64_t next_example() const { return position_.next_example; }
  // Of a stage that goes on: AdamW's state; returns the KL term's reference, if there is one.
  std::vector<float> restore(Trainer& trainer) const;

  // --- what it does ---
  // The onlooker is told that the stage's steps follow.
  void begin();
  void train(const TrainingLoop& loop);
  void evaluate(const EvaluationPlan& plan, const Task& task, Engine& engine);
  void add_cost(const StepCost& cost);

 private:
  void save(const TrainingLoop& loop, bool done);

  const Recipe& recipe_;
  const Stage& stage_;
  RunFolder& folder_;
  Ops& ops_;
  RunListener& listener_;
  RunModel& model_;
  Position& position_;
  Ledger& ledger_;
};

// Monotonic.
double seconds_now();

}  // namespace r1
