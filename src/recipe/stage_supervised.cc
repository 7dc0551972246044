// Next-token training: `pretrain` and `sft` differ in their usual data alone.
#include "recipe/examples.h"
#include "recipe/runner.h"
#include "recipe/stage_run.h"
#include "train/supervised.h"

namespace r1 {
namespace {

struct SupervisedConfig : StageHead, ExampleOptions, SupervisedOptions {
  SupervisedConfig() { kind = "pretrain"; }
  OptimizerOptions optimizer;
  bool gradient_checkpointing = false;
  int64_t logging_steps = 20, save_steps = 1000;

  template <class V>
  void visit(V& v) {
    StageHead::visit(v);
    ExampleOptions::visit(v);
    SupervisedOptions::visit(v);
    v("optimizer", optimizer, "AdamW");
    v("gradient_checkpointing", gradient_checkpointing, "recompute activations to save memory");
    v("logging_steps", logging_steps, "steps between rows of metrics", at_least(1));
    v("save_steps", save_steps, "steps between checkpoints; 0: at the end alone", at_least(0));
  }
};

struct SupervisedMetrics {
  std::string stage;
  int64_t step = 0;
  double loss = 0, learning_rate = 0, grad_norm = 0, tokens_per_second = 0;
  int64_t tokens = 0;
  double seconds = 0;

  template <class V>
  void visit(V& v) {
    v("stage", stage);
    v("step", step);
    v("loss", loss);
    v("learning_rate", learning_rate);
    v("grad_norm", grad_norm);
    v("tokens_per_second", tokens_per_second);
    v("tokens", tokens);
    v("seconds", seconds);
  }
};

class SupervisedStage : public StageOf<SupervisedConfig> {
 public:
  StageOutput output() const override { return StageOutput::kModel; }
  std::vector<StageInput> inputs() const override {
    std::vector<StageInput> inputs = Stage::inputs();
    if (!config_.dataset.empty()) {
      inputs.push_back({"dataset", config_.dataset, StageOutput::kDataset, true});
    }
    return inputs;
  }
  int64_t max_steps() const override { return config_.max_steps; }
  void run(StageRun& run) const override;
};

void SupervisedStage::run(StageRun& run) const {
  Trainer trainer(run.model(), run.ops(), config_.optimizer, config_.gradient_checkpointing);
  const auto& ends = run.model().config().eos_token_ids;
  ExampleOptions examples = config_;
  if (!examples.dataset.empty()) examples.dataset = run.dataset_file(examples.dataset).string();
  Supervised supervised(
      trainer,
      make_examples(examples, run.tokenizer(), run.chat_format(), ends.empty() ? -1 : ends[0],
                    run.model().max_positions(), run.seed()),
      config_);
  if (run.steps_done() > 0) {
    run.restore(trainer);
    supervised.set_next_example(run.next_example());
  }
  run.begin();
  TrainingLoop loop(trainer);
  loop.save_steps = config_.save_steps;
  loop.logging_steps = config_.logging_steps;
  loop.next_example = [&] { return supervised.next_example(); };
  loop.take_step = [&](int64_t step) {
    const double begin = seconds_now();
    const SupervisedStep s = supervised.step(step);
    const double seconds = seconds_now() - begin;
    run.add_cost({0, s.tokens, s.flops, seconds});
    return metrics_row(SupervisedMetrics{name(), step + 1, s.loss, s.learning_rate, s.grad_norm,
                                         static_cast<double>(s.tokens) / seconds, s.tokens,
                                         seconds});
  };
  run.train(loop);
}

}  // namespace

std::unique_ptr<Stage> make_supervised_stage() {
  return std::make_unique<SupervisedStage>();
}

}  // namespace r1
