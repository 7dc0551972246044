#include "recipe/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"
#include "recipe/resume.h"

namespace r1 {
namespace {

constexpr const char* kText = R"(name = "r"
seed = 3
[engine]
kv_bytes = 1000000
[[stage]]
kind = "pretrain"
knobs = {count = 2}
traces = {give_up = 0.25}
[[stage]]
kind = "sft"
name = "cold"
optimizer.adam_beta1 = 0.8
[[stage]]
kind = "grpo"
max_steps = 7
rewards = ["correct"]
reward_weights = [0.5]
)";

Recipe parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_recipe(parse_toml(text, "r.toml"), overrides);
}
std::string parse_error(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { parse(text, overrides); });
}
std::string stages(const std::string& tables) {
  return "name = \"r\"\n" + tables;
}

TEST(StageTable, HasEachKindOnce) {
  std::vector<std::string> kinds;
  for (const StageKind& row : stage_table()) {
    const auto stage = make_stage(row.kind);
    EXPECT_EQ(std::ranges::count(stage_kinds(), row.kind), 1);
    EXPECT_EQ(stage->output() == StageOutput::kModel, stage->max_steps() > 0) << row.kind;
    // Its table can be as short as its kind, and what it writes reads back.
    const Recipe recipe = parse(stages("[[stage]]\nkind = \"" + std::string(row.kind) + "\"\n"));
    EXPECT_EQ(recipe.stages[0]->name(), row.kind);
    EXPECT_EQ(parse(recipe_toml(recipe)).stages[0]->json(), recipe.stages[0]->json());
  }
}

TEST(StageTable, EveryKeyIsTaught) {
  const std::string help = recipe_help();
  for (const std::string& kind : stage_kinds()) EXPECT_HAS(help, in_quotes(kind));
  for (const char* key : {"engine.kv_bytes=", "traces.give_up=0.5", "reward_weights=[]", "gate=[]",
                          "new_model.hidden_size=", "loss.beta="}) {
    EXPECT_HAS(help, std::string("  ") + key);
  }
}

TEST(Recipe, IsReadAndWrittenBack) {
  const Recipe r = parse(kText, {"grpo.learning_rate=1e-5", "engine.max_sequences=8", "seed=4"});
  EXPECT_EQ(r.seed, 4u);
  EXPECT_EQ(r.engine.kv_bytes, 1000000);
  EXPECT_EQ(r.engine.max_sequences, 8);
  ASSERT_EQ(r.stages.size(), 3u);
  EXPECT_EQ(r.stages[1]->name(), "cold");
  EXPECT_EQ(r.stages[0]->json()["traces"]["give_up"], 0.25);
  EXPECT_EQ(r.stages[0]->json()["traces"]["max_attempts"], 24);
  EXPECT_EQ(r.stages[2]->json()["learning_rate"], 1e-5);
  EXPECT_EQ(r.stages[2]->max_steps(), 7);
  const std::string text = recipe_toml(r);
  const Recipe back = parse(text);
  EXPECT_EQ(recipe_toml(back), text);
  EXPECT_EQ(config_json(back), config_json(r));
}

TEST(Recipe, SaysWhereItIsWrong) {
  EXPECT_EQ(parse_error("name = \"x\"\n"), "r.toml: a recipe needs at least one [[stage]] table");
  EXPECT_HAS(parse_error(stages("[[stage]]\nname = \"x\"\n")),
             "r.toml:2: each [[stage]] needs kind = \"pretrain\"");
  EXPECT_EQ(parse_error(stages("[[stage]]\nkind = \"gpro\"\n")),
            "r.toml:2: kind = \"gpro\" is no kind of stage, did you mean \"grpo\"?");
  EXPECT_EQ(parse_error(stages("[[stage]]\nkind = \"grpo\"\nlearnin_rate = 1\n")),
            "r.toml:4: unknown key \"stage.0.learnin_rate\", did you mean \"learning_rate\"?");
  EXPECT_HAS(parse_error(stages("[[stage]]\nkind = \"grpo\"\nrewards = [\"corect\"]\n")),
             "r.toml:4: stage.0.rewards: expected a list, each one of \"correct\"");
  EXPECT_HAS(parse_error(stages("[[stage]]\nkind = \"sft\"\n[[stage]]\nkind = \"sft\"\n")),
             "r.toml: two stages are called 'sft'");
  EXPECT_HAS(parse_error(kText, {"gropo.max_steps=2"}), "(it has pretrain, cold, grpo)");
  EXPECT_HAS(parse_error(kText, {"cold.max_step=2"}), "max_steps");
  EXPECT_HAS(parse_error(stages("[[stage]]\nkind = \"sft\"\ntraces.give_upp = 1\n")),
             "did you mean \"give_up\"");
}

TEST(Recipe, StagesNameTheirModels) {
  const Recipe r = parse(stages(R"(
[[stage]]
kind = "sft"
[[stage]]
kind = "grpo"
[[stage]]
kind = "eval"
model = "sft"
[[stage]]
kind = "grpo"
name = "other"
model = "sft"
[[stage]]
kind = "eval"
name = "last"
[[stage]]
kind = "sft"
name = "again"
model = "start"
)"));
  EXPECT_EQ(r.model_of(0), -1);
  EXPECT_EQ(r.model_of(1), 0);  // the one before
  EXPECT_EQ(r.model_of(2), 0);  // the one it names
  EXPECT_EQ(r.model_of(3), 0);
  EXPECT_EQ(r.model_of(4), 3);
  EXPECT_EQ(r.model_of(5), -1);
  EXPECT_TRUE(r.model_is_named(0));
  EXPECT_FALSE(r.model_is_named(1));
  EXPECT_FALSE(r.model_is_named(3));
}

TEST(Recipe, RefusesNamesOfWhatIsNotThere) {
  const std::string sft = "[[stage]]\nkind = \"sft\"\n", eval = "[[stage]]\nkind = \"eval\"\n";
  EXPECT_HAS(parse_error(stages(sft + eval + "model = \"sfd\"\n")),
             "r.toml:6: stage.1.model: no stage before 'eval' that leaves a model is called "
             "\"sfd\", did you mean \"sft\"?");
  // A later one, itself, one that leaves no model.
  EXPECT_HAS(parse_error(stages(eval + "model = \"sft\"\n" + sft)), "no stage before 'eval'");
  EXPECT_HAS(parse_error(stages(sft + "model = \"sft\"\n")), "no stage before 'sft'");
  EXPECT_HAS(parse_error(stages(eval + sft + "model = \"eval\"\n")), "that leaves a model");
  EXPECT_HAS(parse_error(stages(eval + sft + "dataset = \"eval\"\n")), "that leaves a data set");
  EXPECT_HAS(parse_error(stages(sft + "name = \"start\"\n")), "may be called 'start'");
  // What names no stage is a file.
  EXPECT_EQ(parse_error(stages(sft + "dataset = \"rows.jsonl\"\n")), "no error");
}

// --- resume.h ---

class Changes : public ::testing::Test {
 protected:
  std::vector<RecipeChange> changes(const std::string& before,
                                    const std::vector<std::string>& overrides) const {
    write_file_atomic(folder_ / "recipe.toml", before);
    return recipe_changes(folder_ / "recipe.toml", parse(kText, overrides));
  }
  std::string refusal(const std::vector<std::string>& overrides) const {
    return error_of([&] { changes(kText, overrides); });
  }
  TempFolder folder_;
};

TEST_F(Changes, AreOfValuesNotOfText) {
  EXPECT_TRUE(recipe_changes(folder_ / "none.toml", parse(kText)).empty());
  EXPECT_TRUE(changes(kText, {}).empty());
  std::string text = recipe_toml(parse(kText));
  EXPECT_TRUE(changes(text, {}).empty());
  // Other comments, another version, and keys that the version before did not know.
  EXPECT_TRUE(changes("# mine\nversion = \"0.0\"\n" + std::string(kText), {}).empty());
  std::string without;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("reward_weights") && !line.starts_with("gradient_checkpointing")) {
      without += line.substr(0, line.find("  # ")) + "\n";
    }
  }
  EXPECT_HAS(error_of([&] { changes(without, {}); }), "grpo.reward_weights = []");
  EXPECT_TRUE(changes(without, {"grpo.reward_weights=[]"}).empty());
}

TEST_F(Changes, OfHowLongAndWhatIsKeptAreAllowed) {
  const auto found =
      changes(kText, {"grpo.max_steps=9", "grpo.eval_steps=2", "cold.save_steps=3",
                      "cold.logging_steps=1", "save_total_limit=5", "grpo.max_seconds=60",
                      "grpo.log_completions_steps=0", "grpo.eval_problems=10"});
  ASSERT_EQ(found.size(), 8u);
  EXPECT_EQ(found[0].key, "save_total_limit");
  EXPECT_EQ(found[0].stage, -1);
  const auto steps = std::ranges::find(found, "max_steps", &RecipeChange::key);
  ASSERT_NE(steps, found.end());
  EXPECT_EQ(steps->stage, 2);
  EXPECT_EQ(steps->before, "7");
  EXPECT_EQ(steps->after, "9");
}

TEST_F(Changes, OfAnythingElseNameTheKeyAndBothValues) {
  EXPECT_HAS(refusal({"grpo.learning_rate=0.5"}), "it has grpo.learning_rate = ");
  EXPECT_HAS(refusal({"grpo.learning_rate=0.5"}), "where this one has 0.5");
  EXPECT_HAS(refusal({"seed=9"}), "it has seed = 3 where this one has 9");
  EXPECT_HAS(refusal({"pretrain.knobs.count=3"}), "pretrain.knobs.count = 2");
  EXPECT_HAS(refusal({"pretrain.knobs.max_number=9"}), "max_number = nothing where this one has 9");
  EXPECT_HAS(refusal({"pretrain.traces.drill=0.5"}), "pretrain.traces.drill = 0.0");
  EXPECT_HAS(refusal({"cold.name=warm"}), "it has stage 'cold' where this one has stage 'warm'");
  EXPECT_HAS(error_of([&] { changes(std::string(kText) + "[[stage]]\nkind = \"eval\"\n", {}); }),
             "it has stage 'eval' where this one has no stage");
}

}  // namespace
}  // namespace r1
