#include "base/config.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {

struct Inner {
  double beta1 = 0.9;
  bool fused = true;

  template <class V>
  void visit(V& v) {
    v("beta1", beta1, "decay of the mean", in_range(0, 1));
    v("fused", fused, "one pass");
  }
};

struct Middle {
  double learning_rate = 1e-4;
  int steps = 100;
  std::string loss_type = "grpo";
  std::map<std::string, int64_t> knobs;
  Inner optimizer;

  template <class V>
  void visit(V& v) {
    v("learning_rate", learning_rate, "peak learning rate", at_least(0));
    v("steps", steps, "optimizer steps", at_least(1));
    v("optimizer", optimizer, "AdamW");
    v("loss_type", loss_type, "which loss", one_of({"grpo", "dapo"}));
    v("knobs", knobs, "the task's difficulty");
  }
};

struct Config {
  std::string name = "run";
  uint64_t seed = 1;
  int64_t tokens = 5'000'000'000;
  std::vector<std::string> stages = {"grpo"};
  std::vector<int> widths;
  std::vector<int64_t> sizes = {1, 2};
  std::vector<double> weights;
  Middle grpo;

  template <class V>
  void visit(V& v) {
    v("name", name, "what the run is called");
    v("seed", seed, "of all random numbers");
    v("grpo", grpo, "reinforcement learning");
    v("tokens", tokens, "how many");
    v("stages", stages, "in order", one_of({"grpo", "sft", "eval"}));
    v("widths", widths, "widths", at_least(1));
    v("sizes", sizes, "sizes");
    v("weights", weights, "weights", at_least(0));
  }
};

Config read(const std::string& text) {
  Config config;
  read_config(parse_toml(text, "recipe.toml"), config);
  return config;
}

std::string read_error(const std::string& text) {
  return error_of([&] { read(text); });
}

std::string set_error(const std::string& assignment) {
  return error_of([&] {
    Config config;
    set_config(assignment, config);
  });
}

TEST(Config, ReadsEveryType) {
  const Config c = read(R"(
name = "a\nb"
seed = 9223372036854775807
stages = ["sft", "grpo"]
widths = [3, 4]
sizes = []
weights = [1, 0.5]
grpo.steps = 7
[grpo.optimizer]
beta1 = 1
fused = false
[grpo.knobs]
numbers = 4
"a.b" = -2
)");
  EXPECT_EQ(c.name, "a\nb");
  EXPECT_EQ(c.seed, 9223372036854775807u);
  EXPECT_EQ(c.tokens, 5'000'000'000);
  EXPECT_EQ(c.stages, (std::vector<std::string>{"sft", "grpo"}));
  EXPECT_EQ(c.widths, (std::vector<int>{3, 4}));
  EXPECT_TRUE(c.sizes.empty());
  EXPECT_EQ(c.weights, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(c.grpo.steps, 7);
  EXPECT_EQ(c.grpo.optimizer.beta1, 1.0);
  EXPECT_FALSE(c.grpo.optimizer.fused);
  EXPECT_EQ(c.grpo.knobs, (std::map<std::string, int64_t>{{"numbers", 4}, {"a.b", -2}}));
  EXPECT_EQ(c.grpo.learning_rate, 1e-4);
}

TEST(Config, UnknownKeys) {
  EXPECT_EQ(read_error("seed = 1\n\n[grpo]\nlearnign_rate = 1\n"),
            "recipe.toml:4: unknown key \"grpo.learnign_rate\", did you mean \"learning_rate\"?");
  EXPECT_EQ(read_error("learning_rate = 1"),
            "recipe.toml:1: unknown key \"learning_rate\", did you mean \"grpo.learning_rate\"?");
  EXPECT_EQ(read_error("[gpro]\nsteps = 1"),
            "recipe.toml:1: unknown key \"gpro\", did you mean \"grpo\"?");
  EXPECT_EQ(read_error("[grpo.optimiser]\n"),
            "recipe.toml:1: unknown key \"grpo.optimiser\", did you mean \"optimizer\"?");
  EXPECT_EQ(read_error("zzz = 1"), "recipe.toml:1: unknown key \"zzz\"");
  EXPECT_NE(read_error("\"grpo.steps\" = 1"), "no error");
}

TEST(Config, WrongValues) {
  EXPECT_EQ(read_error("[grpo]\nlearning_rate = \"fast\""),
            "recipe.toml:2: grpo.learning_rate: expected a number of at least 0, found \"fast\"");
  EXPECT_EQ(read_error("[grpo]\nlearning_rate = -0.5"),
            "recipe.toml:2: grpo.learning_rate: expected a number of at least 0, found -0.5");
  EXPECT_EQ(read_error("[grpo]\nlearning_rate = nan"),
            "recipe.toml:2: grpo.learning_rate: expected a number of at least 0, found nan");
  EXPECT_EQ(read_error("grpo.steps = 1.0"),
            "recipe.toml:1: grpo.steps: expected a whole number of at least 1, found 1.0");
  EXPECT_EQ(read_error("grpo.steps = 3000000000"),
            "recipe.toml:1: grpo.steps: expected a whole number of at least 1 that fits 32 bits, "
            "found 3000000000");
  EXPECT_EQ(read_error("seed = -1"), "recipe.toml:1: seed: expected a whole number, found -1");
  EXPECT_EQ(read_error("grpo.optimizer.beta1 = 2"),
            "recipe.toml:1: grpo.optimizer.beta1: expected a number from 0 to 1, found 2");
  EXPECT_EQ(read_error("grpo.optimizer.fused = 1"),
            "recipe.toml:1: grpo.optimizer.fused: expected true or false, found 1");
  EXPECT_EQ(read_error("grpo.loss_type = \"ppo\""),
            "recipe.toml:1: grpo.loss_type: expected one of \"grpo\", \"dapo\", found \"ppo\"");
  EXPECT_EQ(read_error("stages = [\"sft\", \"rl\"]"),
            "recipe.toml:1: stages: expected a list, each one of \"grpo\", \"sft\", \"eval\", "
            "found \"rl\"");
  EXPECT_EQ(read_error("widths = [1, 0]"),
            "recipe.toml:1: widths: expected a list of whole numbers of at least 1, found 0");
  EXPECT_EQ(read_error("widths = 3"),
            "recipe.toml:1: widths: expected a list of whole numbers of at least 1, found 3");
  EXPECT_EQ(read_error("weights = [1, -0.5]"),
            "recipe.toml:1: weights: expected a list of numbers of at least 0, found -0.5");
  EXPECT_EQ(read_error("grpo.knobs = { a = true }"),
            "recipe.toml:1: grpo.knobs: expected a table of whole numbers, found true");
  EXPECT_EQ(read_error("grpo = 3"), "recipe.toml:1: grpo: expected a table, found 3");
}

TEST(Config, AllOrNothing) {
  Config config;
  const TomlDocument document = parse_toml("name = \"x\"\nseed = -1", "f");
  EXPECT_THROW(read_config(document, config), InputError);
  EXPECT_EQ(config.name, "run");
}

TEST(Config, OneTableOfADocument) {
  const TomlDocument document =
      parse_toml("[[stage]]\nsteps = 3\n\n[[stage]]\nsteps = 4\noptimizer.beta = 1\n", "r.toml");
  Middle stage;
  read_config(document, stage, "stage.0");
  EXPECT_EQ(stage.steps, 3);
  EXPECT_EQ(error_of([&] { read_config(document, stage, "stage.1"); }),
            "r.toml:6: unknown key \"stage.1.optimizer.beta\", did you mean \"beta1\"?");
  EXPECT_NE(error_of([&] { read_config(document, stage, "stage.2"); }), "no error");
  EXPECT_NE(error_of([&] { read_config(document, stage, "stage.x.y"); }), "no error");
}

TEST(Config, Set) {
  Config c;
  for (const char* assignment :
       {"grpo.learning_rate=3e-4", "name=has = and \"quotes\"", "grpo.loss_type=\"dapo\"",
        "stages=sft,grpo", "widths=[5, 6]", "sizes=7,8", "weights=1,0.1", "grpo.knobs.max=12",
        "grpo.optimizer.fused=false", "seed=42"}) {
    set_config(assignment, c);
  }
  EXPECT_EQ(c.grpo.learning_rate, 3e-4);
  EXPECT_EQ(c.name, "has = and \"quotes\"");
  EXPECT_EQ(c.grpo.loss_type, "dapo");
  EXPECT_EQ(c.stages, (std::vector<std::string>{"sft", "grpo"}));
  EXPECT_EQ(c.widths, (std::vector<int>{5, 6}));
  EXPECT_EQ(c.sizes, (std::vector<int64_t>{7, 8}));
  EXPECT_EQ(c.weights, (std::vector<double>{1, 0.1}));
  EXPECT_EQ(c.grpo.knobs.at("max"), 12);
  EXPECT_FALSE(c.grpo.optimizer.fused);
  EXPECT_EQ(c.seed, 42u);
  set_config("grpo.knobs={ numbers = 3 }", c);
  EXPECT_EQ(c.grpo.knobs, (std::map<std::string, int64_t>{{"numbers", 3}}));
  set_config("name=", c);
  EXPECT_EQ(c.name, "");
}

TEST(Config, SetErrors) {
  EXPECT_EQ(set_error("grpo.learnign_rate=1"),
            "--set: unknown key \"grpo.learnign_rate\", did you mean \"grpo.learning_rate\"?");
  EXPECT_EQ(set_error("steps=1"), "--set: unknown key \"steps\", did you mean \"grpo.steps\"?");
  EXPECT_EQ(set_error("grpo=1"), "--set: \"grpo\" is a table: expected one of its keys");
  EXPECT_EQ(set_error("seed"), "--set: expected key=value, found \"seed\"");
  EXPECT_EQ(set_error("=1"), "--set: expected key=value, found \"=1\"");
  EXPECT_EQ(set_error("seed=abc"), "--set: seed: expected a whole number, found \"abc\"");
  EXPECT_EQ(set_error("seed="), "--set: seed: expected a whole number, found \"\"");
  EXPECT_EQ(set_error("seed=1\nname=2"),
            "--set: seed: expected a whole number, found \"1\\nname=2\"");
  EXPECT_EQ(set_error("grpo.knobs.a=1.5"),
            "--set: grpo.knobs.a: expected a whole number, found 1.5");
  EXPECT_EQ(set_error("name=\xff"), "--set: name: expected a string, found \"\\ufffd\"");
  EXPECT_NE(set_error("grpo.knobs.a.b=1"), "no error");
}

TEST(Config, TomlRoundTrip) {
  Config c;
  c.name = "tab\t\"quote\" \\ \x01\x7f é";
  c.grpo.learning_rate = 1.0 / 3;
  c.grpo.optimizer.beta1 = 1;
  c.grpo.knobs = {{"max", 12}, {"odd key", -1}};
  c.stages = {};
  const std::string text = config_toml(c);
  EXPECT_NE(text.find("\n# AdamW\n[grpo.optimizer]\nbeta1 = 1.0  # decay of the mean\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("learning_rate = 0.3333333333333333  # peak learning rate\n"),
            std::string::npos);
  const Config back = read(text);
  EXPECT_EQ(config_json(back), config_json(c));
  EXPECT_EQ(back.name, c.name);
  EXPECT_EQ(config_toml(back), text);
  c.seed = uint64_t{1} << 63;
  EXPECT_EQ(error_of([&] { config_toml(c); }),
            "seed: expected a whole number from 0 to 9223372036854775807, found "
            "9223372036854775808");
}

TEST(Config, JsonRoundTrip) {
  Config c;
  c.seed = ~uint64_t{0};
  c.grpo.optimizer.beta1 = 0.1;
  const Json json = config_json(c);
  EXPECT_EQ(json["grpo"]["optimizer"]["beta1"], 0.1);
  Config back;
  read_config_json(parse_json(json.dump(), "state"), "state", back);
  EXPECT_EQ(back.seed, c.seed);
  EXPECT_EQ(back.grpo.optimizer.beta1, 0.1);
  EXPECT_EQ(error_of([&] {
              read_config_json(Json{{"seed", nullptr}}, "state.json", back);
            }),
            "state.json: seed: expected a whole number, found nothing");
  EXPECT_EQ(error_of([&] { read_config_json(Json::array(), "state.json", back); }),
            "state.json: expected a table, found a list");
}

TEST(Config, Help) {
  const std::string text = config_help(Config());
  EXPECT_NE(
      text.find("  grpo.loss_type=\"grpo\"             which loss (one of \"grpo\", \"dapo\")\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("  seed=1  "), std::string::npos);
}

}  // namespace
}  // namespace r1
