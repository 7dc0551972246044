// Reinforcement learning against a task's verifier (rl/grpo.h).
#include "recipe/runner.h"
#include "recipe/stage_run.h"
#include "rl/grpo.h"

namespace r1 {
namespace {

// The GRPO options themselves stand in rl/grpo.h; their keys are the stage's own.
struct GrpoStageConfig : StageHead, StageTask, GrpoConfig {
  GrpoStageConfig() { kind = "grpo"; }
  double max_seconds = 0;
  int64_t eval_steps = 0, eval_problems = 500, save_steps = 20, log_completions_steps = 1;

  template <class V>
  void visit(V& v) {
    StageHead::visit(v);
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

struct GrpoMetrics {
  std::string stage;
  int64_t step = 0;
  GrpoStep values;
  double tokens_per_second = 0, seconds = 0;

  template <class V>
  void visit(V& v) {
    v("stage", stage);
    v("step", step);
    v("reward", values.reward);
    v("accuracy", values.accuracy);
    v("reward_std", values.reward_std);
    v("completion_length", values.completion_length);
    v("entropy", values.entropy);
    v("kl", values.kl);
    v("loss", values.loss);
    v("grad_norm", values.grad_norm);
    v("learning_rate", values.learning_rate);
    v("tokens_per_second", tokens_per_second);
    v("mixed_groups", values.mixed_groups);
    v("logprob_mismatch", values.logprob_mismatch);
    v("tokens_sampled", values.tokens_sampled);
    v("tokens_trained", values.tokens_trained);
    v("seconds", seconds);
    v("clip_ratio", values.clip_ratio);
    v("unparseable", values.unparseable);
    v("truncated", values.truncated);
    v("reward_", values.rewards);
  }
};

// A step's completions as rows of completions/STAGE.jsonl.
std::vector<CompletionRow> completion_rows(int64_t step, const GrpoStep& result,
                                           const Tokenizer& tokenizer) {
  std::vector<CompletionRow> rows;
  for (size_t g = 0; g < result.groups.size(); ++g) {
    for (size_t i = 0; i < result.groups[g].completions.size(); ++i) {
      const GradedCompletion& c = result.groups[g].completions[i];
      CompletionRow row;
      row.step = step;
      row.prompt = tokenizer.decode(result.groups[g].prompt);
      row.completion = c.text;
      StreamDecoder decoder(tokenizer, false);
      for (const int32_t id : c.completion.ids) row.tokens.push_back(decoder.push(id));
      if (!row.tokens.empty()) row.tokens.back() += decoder.finish();
      row.logprobs = c.completion.logprobs;
      for (size_t r = 0; r < c.rewards.size(); ++r) {
        row.rewards.emplace_back(result.rewards[r].first, c.rewards[r]);
      }
      row.reward = c.reward;
      row.advantage = result.advantages[g][i];
      row.correct = c.verdict.correct;
      row.reason = c.verdict.reason;
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

class GrpoStage : public StageOf<GrpoStageConfig> {
 public:
  std::string summary() const override {
    return config_.loss_type + " on " + config_.task + ": " +
           std::to_string(config_.prompts_per_step) + " prompts x " +
           std::to_string(config_.num_generations) + " completions a step";
  }
  StageOutput output() const override { return StageOutput::kModel; }
  bool samples() const override { return true; }
  int64_t max_steps() const override { return config_.max_steps; }
  double max_seconds() const override { return config_.max_seconds; }
  void run(StageRun& run) const override;

 private:
  GrpoMetrics take_step(StageRun& run, Grpo& grpo, int64_t step) const;
};

// One step, its account, its completions kept.
GrpoMetrics GrpoStage::take_step(StageRun& run, Grpo& grpo, int64_t step) const {
  const double begin = seconds_now();
  const double all =
      static_cast<double>(config_.prompts_per_step) * static_cast<double>(config_.num_generations);
  // Sampling is about 0.6 of a step's time.
  GrpoStep s = grpo.step(step, [&](int64_t done) {
    run.listener().on_progress(name(), step, 0.6 * static_cast<double>(done) / all);
  });
  const double seconds = seconds_now() - begin;
  run.add_cost({s.tokens_sampled, s.tokens_trained, s.flops, seconds});
  if (config_.log_completions_steps > 0 && step % config_.log_completions_steps == 0) {
    run.folder().add_completions(name(), completion_rows(step + 1, s, run.tokenizer()));
  }
  run.listener().on_rollout(step, s);
  const double rate = static_cast<double>(s.tokens_sampled) / seconds;
  return {name(), step + 1, std::move(s), rate, seconds};
}

void GrpoStage::run(StageRun& run) const {
  const auto task = config_.open(true);
  const PromptFunction prompts = run.prompts(config_);
  Trainer trainer(run.model(), run.ops(), config_.optimizer, config_.gradient_checkpointing);
  Engine engine(run.model(), run.ops(), run.engine_options(), &run.tokenizer());
  Grpo grpo(trainer, run.ops(), engine, run.tokenizer(), *task, config_, run.seed());
  grpo.set_prompts(prompts);
  if (run.steps_done() > 0) {
    const auto reference = run.restore(trainer);
    if (!reference.empty()) grpo.set_reference(reference);
  }
  EvaluationPlan plan;
  plan.problems = config_.eval_problems;
  plan.rollout.sampling = config_.sampling;
  plan.rollout.max_completion_length = config_.max_completion_length;
  plan.rollout.prompts = prompts;
  auto evaluate_at = [&](const char* label, int64_t step) {
    plan.label = label;
    plan.step = step;
    run.evaluate(plan, *task, engine);
  };
  if (run.steps_done() == 0) evaluate_at("before", 0);
  run.begin();
  TrainingLoop loop(trainer);
  loop.save_steps = config_.save_steps;
  loop.reference = [&] { return grpo.reference(); };
  loop.take_step = [&](int64_t step) { return metrics_row(take_step(run, grpo, step)); };
  loop.after_step = [&](int64_t step) {
    if (config_.eval_steps > 0 && step % config_.eval_steps == 0) evaluate_at("step", step);
  };
  loop.finish = [&](int64_t step) { evaluate_at("after", step); };
  run.train(loop);
}

}  // namespace

std::unique_ptr<Stage> make_grpo_stage() {
  return std::make_unique<GrpoStage>();
}

}  // namespace r1
