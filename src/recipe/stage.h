// A stage of a recipe: what a [[stage]] table says and what running it does. A kind of stage is a
// file, stage_x.cc, and a row of the table in stage.cc:
//
//   struct XConfig : StageHead {        // its keys, by one visitor (base/config.h)
//     int64_t max_steps = 10;
//     template <class V>
//     void visit(V& v) {
//       StageHead::visit(v);
//       v("max_steps", max_steps, "updates", at_least(1));
//     }
//   };
//   class XStage : public StageOf<XConfig> { ... run(StageRun&) ... };
//
// A stage starts from a model and may read data sets; it leaves a model, a data set, or metrics
// alone. What it reads it names by the stage that left it (`model = "sft"`, `dataset = "reject"`).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace r1 {

class StageRun;

std::vector<std::string> stage_kinds();

// The model that the recipe starts from, where a stage's `model` names it: no stage is called so.
inline constexpr const char* kStartModel = "start";

// The keys that every stage has.
struct StageHead {
  std::string kind, name, model;

  template <class V>
  void visit(V& v) {
    v("kind", kind, "what the stage does", one_of(stage_kinds()));
    v("name", name, "names the stage in --set, metrics and checkpoints; empty: its kind");
    v("model", model,
      "the earlier stage whose model it starts from, or start: the recipe's; empty: the one "
      "before");
  }
};

// What a stage leaves for later ones beside its metrics.
enum class StageOutput {
  kNothing,
  kModel,    // a checkpoint (package/checkpoints.h)
  kDataset,  // data/STAGE.jsonl in the run's folder
};

// A key of a stage that may name an earlier stage and so its output.
struct StageInput {
  const char* key;
  std::string value;
  StageOutput output;
  bool or_file = false;  // what names no stage is a file
};

class Stage {
 public:
  virtual ~Stage() = default;

  // --- its config ---
  virtual const StageHead& head() const = 0;
  // The table at `path` of the document ("stage.0").
  virtual void read(const TomlDocument& document, const std::string& path) = 0;
  virtual void set(std::string_view assignment) = 0;  // "max_steps=3"
  virtual std::string toml() const = 0;
  virtual Json json() const = 0;
  virtual std::string help() const = 0;

  const std::string& name() const { return head().name.empty() ? head().kind : head().name; }

  // --- what it is ---
  // For people, in a few words: "dr_grpo on countdown".
  virtual std::string summary() const { return head().kind; }
  virtual StageOutput output() const { return StageOutput::kNothing; }
  // What it reads by name, the model it starts from among it.
  virtual std::vector<StageInput> inputs() const;
  // Whether it samples completions.
  virtual bool samples() const { return false; }
  // Steps of training, and the limit in seconds (0: none). A stage that does not train has none.
  virtual int64_t max_steps() const { return 0; }
  virtual double max_seconds() const { return 0; }

  // Everything, from the step at which the run stands. InputError and JobError as of run_recipe.
  virtual void run(StageRun& run) const = 0;
};

// A stage whose keys are those of a Config, which is a StageHead.
template <class Config>
class StageOf : public Stage {
 public:
  const StageHead& head() const override { return config_; }
  void read(const TomlDocument& document, const std::string& path) override {
    read_config(document, config_, path);
    if (config_.name.empty()) config_.name = config_.kind;
  }
  void set(std::string_view assignment) override { set_config(assignment, config_); }
  std::string toml() const override { return config_toml(config_); }
  Json json() const override { return config_json(config_); }
  std::string help() const override { return config_help(config_); }

 protected:
  Config config_;
};

// A row of the table. Kinds that differ in their usual data alone share `make`.
struct StageKind {
  const char* kind;
  std::unique_ptr<Stage> (*make)();
};
std::span<const StageKind> stage_table();

// InputError names the nearest known kind, or all of them.
std::unique_ptr<Stage> make_stage(std::string_view kind);

// --- rows of stage.cc's table; of pretrain and sft ---
std::unique_ptr<Stage> make_supervised_stage();
std::unique_ptr<Stage> make_grpo_stage();
std::unique_ptr<Stage> make_eval_stage();

}  // namespace r1
