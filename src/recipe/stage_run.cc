#include "recipe/stage_run.h"

#include <chrono>
#include <set>

#include "base/rng.h"
#include "recipe/runner.h"
#include "recipe/task_prompts.h"

namespace r1 {
namespace {

// Held-out problems and the draws of evaluations are the same in every run: accuracies compare.
constexpr uint64_t kEvaluationSeed = 20;

}  // namespace

double seconds_now() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint64_t StageRun::seed() const {
  return mix_seed(recipe_.seed, static_cast<uint64_t>(position_.stage));
}

EngineOptions StageRun::engine_options() const {
  EngineOptions options;
  options.max_context = model().max_positions();
  options.max_sequences = recipe_.engine.max_sequences;
  options.kept_pages = options.max_sequences;
  options.max_batch_tokens = std::max(options.max_batch_tokens, options.max_sequences);
  options.kv_bytes = recipe_.engine.kv_bytes;
  return options;
}

std::optional<ChatFormat> StageRun::chat_format() const {
  return ChatFormat::of(model_.companions.tokenizer, tokenizer(), "the model's folder");
}

PromptFunction StageRun::prompts(const StageTask& task) const {
  return task_prompts(chat_format(), tokenizer(), task.system);
}

std::filesystem::path StageRun::dataset_file(const std::string& dataset) const {
  return recipe_.find_stage(dataset) >= 0 ? folder_.dataset_path(dataset)
                                          : std::filesystem::path(dataset);
}

std::vector<float> StageRun::restore(Trainer& trainer) const {
  return load_trainer_state(*position_.checkpoint, trainer);
}

void StageRun::begin() {
  listener_.on_stage(stage_, position_.step);
}

void StageRun::add_cost(const StepCost& cost) {
  ledger_.add(stage_.name(), cost.tokens_sampled, cost.tokens_trained, cost.flops, cost.seconds);
}

void StageRun::save(const TrainingLoop& loop, bool done) {
  const int64_t step = position_.steps_before + position_.step;
  if (done) position_.models[stage_.name()] = step;
  folder_.sync();
  const Json state = {{"stage", position_.stage},
                      {"step", position_.step},
                      {"steps_before", position_.steps_before},
                      {"seconds", position_.seconds},
                      {"next_example", loop.next_example()},
                      {"stage_done", done},
                      {"max_steps", stage_.max_steps()},
                      {"max_seconds", stage_.max_seconds()},
                      {"models", position_.models},
                      {"ledger", Json(ledger_.to_json())}};
  save_checkpoint(folder_.checkpoints_path(), step, loop.trainer, loop.reference(),
                  model_.companions, state);
  std::set<int64_t> named;
  for (const auto& [name, at] : position_.models) {
    if (recipe_.model_is_named(recipe_.find_stage(name))) named.insert(at);
  }
  prune_checkpoints(folder_.checkpoints_path(), recipe_.save_total_limit, named);
  folder_.write_ledger(ledger_);
}

void StageRun::train(const TrainingLoop& loop) {
  const int64_t steps = stage_.max_steps();
  const double max_seconds = stage_.max_seconds();
  bool out_of_time = false;
  while (position_.step < steps && !out_of_time) {
    const double begin = seconds_now();
    OrderedJson row = loop.take_step(position_.step);
    ++position_.step;
    position_.seconds += seconds_now() - begin;
    out_of_time = max_seconds > 0 && position_.seconds >= max_seconds;
    const bool last = position_.step == steps || out_of_time;
    listener_.on_metrics(row);
    if (position_.step % loop.logging_steps == 0 || last) folder_.add_metrics(std::move(row));
    if (last) break;
    loop.after_step(position_.step);
    if (loop.save_steps > 0 && position_.step % loop.save_steps == 0) save(loop, false);
  }
  if (out_of_time && position_.step < steps) {
    listener_.on_time_limit(max_seconds, position_.step, steps);
  }
  loop.finish(position_.step);
  save(loop, true);
}

void StageRun::evaluate(const EvaluationPlan& plan, const Task& task, Engine& engine) {
  const double begin = seconds_now(), flops_before = engine.stats().flops;
  auto problems = evaluation_problems(task, Split::kTest, plan.problems, kEvaluationSeed);
  const double all =
      static_cast<double>(problems.size()) * static_cast<double>(plan.rollout.num_generations);
  auto groups = sample_rollouts(engine, tokenizer(), model().config(), task, std::move(problems),
                                plan.rollout, kEvaluationSeed,
                                {[&](int64_t done) {
                                   listener_.on_progress(stage_.name(), plan.step,
                                                         static_cast<double>(done) / all);
                                 },
                                 {}});
  const Evaluation e = evaluate_groups(groups);
  const double seconds = seconds_now() - begin;
  add_cost({e.tokens_sampled, 0, engine.stats().flops - flops_before, seconds});
  EvaluationMetrics row = evaluation_metrics(stage_.name(), plan.label, plan.step, e, seconds);
  if (plan.extend) plan.extend(groups, row);
  folder_.add_metrics(metrics_row(std::move(row)));
  listener_.on_evaluation(plan.label, plan.step, e, groups);
}

}  // namespace r1
