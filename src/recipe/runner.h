// Runs a recipe: its stages in order, each on the model that an earlier one left, into a run
// folder. Run again on the same folder it goes on from the newest checkpoint, with the same result,
// bit for bit, as if it had never stopped (but for stages with a limit in seconds, and keys that
// were changed: resume.h).
#pragma once

#include <string>
#include <vector>

#include "package/model_files.h"
#include "recipe/metrics.h"
#include "recipe/recipe.h"
#include "recipe/run_folder.h"
#include "rl/evaluation.h"
#include "rl/grpo.h"

namespace r1 {

// What an onlooker is told. Everything is also in the run folder.
class RunListener {
 public:
  virtual ~RunListener() = default;
  // The run goes on with another value of a key.
  virtual void on_change(const ChangeMetrics&) {}
  // Steps [first, max_steps) of a stage follow; of one that does not train none.
  virtual void on_stage(const Stage&, int64_t /*first*/) {}
  // How much of step `step` (from 0) is done, in [0, 1).
  virtual void on_progress(const std::string& /*stage*/, int64_t /*step*/, double /*done*/) {}
  // A step's row, as in metrics.jsonl.
  virtual void on_metrics(const OrderedJson& /*row*/) {}
  virtual void on_rollout(int64_t /*step*/, const GrpoStep&) {}
  // A limit in seconds ended a stage after `step` of `steps`.
  virtual void on_time_limit(double /*max_seconds*/, int64_t /*step*/, int64_t /*steps*/) {}
  // `label`: "before", "after", "step", or the stage's name.
  virtual void on_evaluation(const std::string& /*label*/, int64_t /*step*/, const Evaluation&,
                             const std::vector<RolloutGroup>&) {}
  // Skills that an eval stage measured.
  virtual void on_skills(const SkillShares&) {}
  // A stage made a data set of `rows` rows.
  virtual void on_dataset(const std::filesystem::path&, int64_t /*rows*/) {}
};

struct RunResult {
  bool was_finished = false;    // before this call: nothing was done
  std::filesystem::path model;  // the last checkpoint; the recipe's model if no stage trained one
};

// InputError if the recipe cannot be run: models, tasks, datasets, options; or if the folder holds
// the run of another recipe. JobError if the run fails on its way: a full disk, a gradient that is
// not finite, a gate that is not reached.
RunResult run_recipe(const Recipe& recipe, RunFolder& folder, Ops& ops, RunListener& listener);

}  // namespace r1
