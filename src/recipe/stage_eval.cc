// Accuracy on held-out problems, and the skills of a task that measures some: a gate that they must
// pass.
#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "recipe/runner.h"
#include "recipe/stage_run.h"

namespace r1 {
namespace {

struct EvalConfig : StageHead, StageTask {
  EvalConfig() { kind = "eval"; }
  int64_t problems = 500, samples = 1, max_completion_length = 448;
  SamplingParams sampling;
  std::vector<std::string> gate;

  template <class V>
  void visit(V& v) {
    StageHead::visit(v);
    StageTask::visit(v);
    v("problems", problems, "held-out problems", at_least(1));
    v("samples", samples, "completions of each", at_least(1));
    v("max_completion_length", max_completion_length, "longest completion in tokens", at_least(1));
    v("sampling", sampling, "the distribution completions are drawn from");
    v("gate", gate, "skills that must reach a share or the run fails, e.g. \"arithmetic >= 0.99\"");
  }
};

// "arithmetic >= 0.99"
struct Gate {
  std::string skill;
  double least = 0;
};

Gate parse_gate(const std::string& text, const SkillShares& known) {
  std::istringstream in(text);
  Gate gate;
  std::string relation, rest;
  const bool ok = in >> gate.skill >> relation >> gate.least && relation == ">=" && !(in >> rest);
  const bool is_known =
      std::ranges::any_of(known, [&](const auto& s) { return s.first == gate.skill; });
  if (ok && is_known) return gate;
  std::string names;
  for (const auto& [name, share] : known) names += (names.empty() ? "" : ", ") + name;
  throw InputError("gate " + in_quotes(text) + ": expected \"SKILL >= SHARE\" with one of " +
                   names);
}

// What is missing for the gates to open; empty where nothing is.
std::string failed_gates(const std::vector<Gate>& gates, const SkillShares& shares) {
  std::string failed;
  for (const Gate& gate : gates) {
    for (const auto& [name, share] : shares) {
      if (name != gate.skill || share.value() >= gate.least) continue;
      failed += (failed.empty() ? "" : ", ") + name + " is " + std::to_string(share.value()) +
                " where " + std::to_string(gate.least) + " is asked";
    }
  }
  return failed;
}

class EvalStage : public StageOf<EvalConfig> {
 public:
  bool samples() const override { return true; }
  void run(StageRun& run) const override;
};

void EvalStage::run(StageRun& run) const {
  const auto task = config_.open(false);
  const std::unique_ptr<Skills> skills = task->skills();
  std::vector<Gate> gates;
  if (!config_.gate.empty() && !skills) {
    throw InputError("stage " + name() + ": gates are on a task's skills, and " + config_.task +
                     " has none");
  }
  for (const std::string& text : config_.gate) gates.push_back(parse_gate(text, skills->shares()));
  run.begin();
  Engine engine(run.model(), run.ops(), run.engine_options(), &run.tokenizer());
  EvaluationPlan plan;
  plan.label = name();
  plan.step = run.steps_before();
  plan.problems = config_.problems;
  plan.rollout = {config_.sampling, config_.samples, config_.max_completion_length};
  plan.rollout.prompts = run.prompts(config_);
  std::string failed;
  plan.extend = [&](const std::vector<RolloutGroup>& groups, EvaluationMetrics& row) {
    if (!skills) return;
    for (const RolloutGroup& g : groups) {
      for (const GradedCompletion& c : g.completions) skills->add(g.problem, c.text);
    }
    for (const auto& [skill, share] : skills->shares()) {
      row.skills.emplace_back(skill, share.value());
    }
    failed = failed_gates(gates, skills->shares());
    if (!gates.empty()) row.gate_open = failed.empty() ? 1 : 0;
  };
  run.evaluate(plan, *task, engine);
  if (skills) run.listener().on_skills(skills->shares());
  if (!failed.empty()) throw JobError("stage " + name() + ": the gate is closed: " + failed);
}

}  // namespace

std::unique_ptr<Stage> make_eval_stage() {
  return std::make_unique<EvalStage>();
}

}  // namespace r1
