#include "recipe/runner.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"
#include "package/checkpoints.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

// A model of 20 thousand parameters.
constexpr const char* kHead = R"(name = "r"
tokenizer = "numbers"
save_total_limit = 1
[new_model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 16
intermediate_size = 64
)";

std::string supervised(const std::string& name, const std::string& more = "") {
  return "[[stage]]\nkind = \"sft\"\nname = \"" + name +
         "\"\nmax_steps = 3\nbatch_tokens = 300\nlearning_rate = 1e-2\nlogging_steps = 1\n" +
         "schedule.lr_scheduler_type = \"constant\"\n" + more + "\n";
}
std::string grpo(const std::string& more = "") {
  return "[[stage]]\nkind = \"grpo\"\nmax_steps = 3\nprompts_per_step = 4\nnum_generations = 4\n"
         "max_completion_length = 24\neval_problems = 5\nlearning_rate = 1e-2\n"
         "schedule.lr_scheduler_type = \"constant\"\n" +
         more + "\n";
}
std::string eval(const std::string& more = "") {
  return "[[stage]]\nkind = \"eval\"\nproblems = 4\nmax_completion_length = 16\n" + more + "\n";
}

// Stops the run at a stage's step, as a full disk would.
struct Stopper : RunListener {
  std::string stage;
  int64_t step = 0;
  void on_metrics(const OrderedJson& row) override {
    if (row["stage"] == stage && row["step"] == step) throw JobError("stopped");
  }
};

class Run : public ::testing::Test {
 protected:
  static Recipe recipe(const std::string& stages, const std::vector<std::string>& set = {}) {
    return parse_recipe(parse_toml(kHead + stages, "r.toml"), set);
  }
  RunResult run(const Recipe& r, const std::string& name) {
    RunListener listener;
    RunFolder folder(folder_ / name);
    return run_recipe(r, folder, *ops_, listener);
  }
  // Until it is stopped, then to its end.
  void run_stopped(const Recipe& r, const std::string& name, const std::string& stage,
                   int64_t step) {
    {
      Stopper listener;
      listener.stage = stage;
      listener.step = step;
      RunFolder folder(folder_ / name);
      EXPECT_THROW(run_recipe(r, folder, *ops_, listener), JobError);
    }
    run(r, name);
  }
  std::string weights(const std::string& name) const {
    return read_file(newest_checkpoint(folder_ / name / "checkpoints")->path / "model.safetensors");
  }
  std::vector<Json> rows(const std::string& file) const {
    std::vector<Json> all;
    for_each_row(folder_.path() / file, [&](const Json& row, int64_t) { all.push_back(row); });
    return all;
  }
  // "a:1 a:2 eval:2/eval": stage, step and label of each row of metrics.
  std::string steps(const std::string& name) const {
    std::string text;
    for (const Json& row : rows(name + "/metrics.jsonl")) {
      text += (text.empty() ? "" : " ") + row["stage"].get<std::string>() + ":" +
              std::to_string(row["step"].get<int64_t>());
      if (row.contains("label")) text += "/" + row["label"].get<std::string>();
      if (row.contains("change")) text += "!" + row["change"].get<std::string>();
    }
    return text;
  }

  TempFolder folder_;
  ThreadPool pool_{1};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
};

TEST_F(Run, StagesStartFromTheModelTheyName) {
  // Stage b trains on the base with and without another stage before it.
  const Recipe with =
      recipe(supervised("base") + supervised("a") + supervised("b", "model = \"base\""));
  const Recipe without = recipe(supervised("base") + eval() + supervised("b"));
  run(with, "with");
  run(without, "without");
  EXPECT_TRUE(weights("with") == weights("without"));
  EXPECT_EQ(steps("with"), "base:1 base:2 base:3 a:1 a:2 a:3 b:1 b:2 b:3");
  EXPECT_EQ(steps("without"), "base:1 base:2 base:3 eval:3/eval b:1 b:2 b:3");
  // The recipe's own model, by its name.
  run(recipe(supervised("base") + supervised("b", "model = \"start\"")), "start");
  run(recipe(eval() + supervised("b")), "fresh");
  EXPECT_TRUE(weights("start") == weights("fresh"));
  EXPECT_FALSE(weights("start") == weights("with"));
}

TEST_F(Run, KeepsTheModelsThatLaterStagesName) {
  const Recipe r = recipe(supervised("base") + supervised("a", "save_steps = 1") +
                          supervised("b", "model = \"base\"") + supervised("c"));
  run(r, "whole");
  const fs::path checkpoints = folder_ / "whole" / "checkpoints";
  EXPECT_TRUE(fs::exists(checkpoints / "step-3"));
  for (const char* gone : {"step-4", "step-5", "step-6", "step-9"}) {
    EXPECT_FALSE(fs::exists(checkpoints / gone)) << gone;
  }
  EXPECT_TRUE(fs::exists(checkpoints / "step-12"));
  // Stopped before, in and after the stage that needs it, in fresh processes' stead.
  for (const auto& [stage, step] : std::vector<std::pair<std::string, int64_t>>{
           {"base", 2}, {"a", 2}, {"b", 1}, {"b", 3}, {"c", 2}}) {
    const std::string name = stage + std::to_string(step);
    run_stopped(r, name, stage, step);
    EXPECT_TRUE(weights(name) == weights("whole")) << name;
    EXPECT_EQ(steps(name), steps("whole"));
  }
}

TEST_F(Run, IsFinishedOnce) {
  const Recipe r = recipe(supervised("a") + eval());
  EXPECT_FALSE(run(r, "run").was_finished);
  const std::string before = steps("run");
  EXPECT_TRUE(run(r, "run").was_finished);
  EXPECT_EQ(steps("run"), before);
}

TEST_F(Run, GoesOnWithMoreSteps) {
  const std::string stages = supervised("a") + grpo() + eval();
  run(recipe(stages, {"grpo.max_steps=5"}), "long");
  run(recipe(stages), "raised");
  const Recipe more = recipe(stages, {"grpo.max_steps=5", "grpo.eval_problems=4"});
  EXPECT_FALSE(run(more, "raised").was_finished);
  EXPECT_TRUE(weights("raised") == weights("long"));
  // What changed is written down; the evaluation stage is of the model that is there now.
  EXPECT_EQ(steps("raised"),
            "a:1 a:2 a:3 grpo:0/before grpo:1 grpo:2 grpo:3 grpo:3/after "
            "grpo:3!grpo.eval_problems grpo:3!grpo.max_steps grpo:4 grpo:5 grpo:5/after "
            "eval:8/eval");
  const Json change = rows("raised/metrics.jsonl")[9];
  EXPECT_EQ(change["before"], "3");
  EXPECT_EQ(change["after"], "5");
  EXPECT_EQ(read_recipe(folder_ / "raised" / "recipe.toml", {}).stages[1]->max_steps(), 5);
  EXPECT_TRUE(run(more, "raised").was_finished);
  // Stopped on the way, it goes on although its recipe says no more what changed.
  run(recipe(stages), "stopped");
  run_stopped(more, "stopped", "grpo", 4);
  EXPECT_TRUE(weights("stopped") == weights("long"));
  EXPECT_EQ(steps("stopped"), steps("raised"));
}

TEST_F(Run, RefusesChangesThatItCannotFollow) {
  const std::string stages = supervised("a") + grpo();
  run(recipe(stages), "run");
  const std::string before = steps("run");
  auto refusal = [&](const std::string& set) {
    return error_of([&] { run(recipe(stages, {set}), "run"); });
  };
  EXPECT_HAS(refusal("a.max_steps=4"), "a.max_steps is 3 there and 4 here, but a later stage");
  EXPECT_HAS(refusal("grpo.max_steps=2"), "but 3 steps were taken");
  EXPECT_HAS(refusal("grpo.learning_rate=1"), "grpo.learning_rate");
  EXPECT_EQ(steps("run"), before);
}

TEST_F(Run, LogsEachReward) {
  run(recipe(grpo("reward_weights = [0.5]")), "run");
  for (const Json& row : rows("run/metrics.jsonl")) {
    if (row.contains("label")) continue;
    EXPECT_EQ(row["reward"].get<double>(), 0.5 * row["reward_correct"].get<double>());
    EXPECT_EQ(row["reward_correct"], row["accuracy"]);
  }
  const auto completions = rows("run/completions/grpo.jsonl");
  ASSERT_EQ(completions.size(), 3u * 16);
  for (const Json& row : completions) {
    EXPECT_EQ(row["reward"].get<double>(), 0.5 * row["rewards"]["correct"].get<double>());
  }
}

TEST_F(Run, MeasuresSkillsAndGates) {
  const Recipe r = recipe(eval("gate = [\"arithmetic >= 0\"]"));
  run(r, "open");
  const Json row = rows("open/metrics.jsonl")[0];
  EXPECT_EQ(row["gate_open"], 1);
  EXPECT_TRUE(row.contains("skill_arithmetic"));
  EXPECT_THROW(run(recipe(eval("gate = [\"arithmetic >= 2\"]")), "closed"), JobError);
  EXPECT_HAS(error_of([&] { run(recipe(eval("gate = [\"wit >= 1\"]")), "unknown"); }),
             "one of arithmetic, ");
  EXPECT_HAS(error_of([&] {
               run(recipe(eval("task = \"sorting\"\ngate = [\"arithmetic >= 1\"]")), "none");
             }),
             "sorting has none");
}

TEST_F(Run, TakesTheEnginesLimits) {
  const std::string stages = grpo();
  run(recipe(stages), "many");
  run(recipe(stages, {"engine.max_sequences=2", "engine.kv_bytes=2000000"}), "few");
  EXPECT_TRUE(weights("few") == weights("many"));  // slower, and the same
  EXPECT_THROW(run(recipe(stages, {"engine.kv_bytes=1"}), "none"), InputError);
}

// A recipe whose model cannot be opened leaves no recipe behind, so that a mended one may run.
TEST_F(Run, LeavesNoRecipeOfAModelThatIsNotThere) {
  const Recipe bad =
      parse_recipe(parse_toml("model = \"no/such\"\n" + supervised("a"), "r.toml"), {});
  EXPECT_THROW(run(bad, "run"), InputError);
  EXPECT_FALSE(fs::exists(folder_ / "run" / "recipe.toml"));
}

TEST(Metrics, RowsAreReadAsTheyAreWritten) {
  EvaluationMetrics row;
  row.stage = "grpo";
  row.label = "after";
  row.step = 7;
  row.accuracy = 0.25;
  row.problems = 5;
  row.skills = {{"legal", 0.5}};
  const OrderedJson json = metrics_row(row);
  EXPECT_FALSE(json.contains("gate_open"));
  EXPECT_EQ(json.begin().key(), "stage");
  EXPECT_EQ(json["skill_legal"], 0.5);
  const auto back = read_metrics<EvaluationMetrics>(Json(json));
  EXPECT_EQ(metrics_row(back), json);
  row.gate_open = 0;
  EXPECT_EQ(read_metrics<EvaluationMetrics>(Json(metrics_row(row))).gate_open, 0);
  // Other rows have no label; a field of another type is as good as absent.
  EXPECT_EQ(read_metrics<EvaluationMetrics>(Json{{"stage", 3}, {"n", "x"}}).stage, "");
}

}  // namespace
}  // namespace r1
