// r1 demo: R1-Zero in miniature. The shipped base model can do arithmetic and can check an attempt,
// but gives up early; reinforcement learning with a verifier's reward alone teaches it to go on.
#include <cstdio>
#include <map>

#include "base/error.h"
#include "console.h"
#include "recipe/report.h"
#include "session.h"

namespace r1 {

extern const std::string_view kDemoRecipe;  // recipes/countdown-zero.toml

namespace {

constexpr int64_t kShowEvery = 10;

struct Options {
  CommonOptions common;
  std::string out, model;
  std::vector<std::string> set;
};

struct Score {
  Interval accuracy;
  double length = 0;
  int64_t problems = 0;
};

std::map<std::string, Score> read_scores(const std::filesystem::path& run) {
  std::map<std::string, Score> scores;
  for_each_row(run / "metrics.jsonl", [&](const Json& json, int64_t) {
    const auto row = read_metrics<EvaluationMetrics>(json);
    if (row.label.empty()) return;
    scores[row.label] = {
        {row.accuracy, row.accuracy_low, row.accuracy_high}, row.completion_length, row.problems};
  });
  return scores;
}

std::vector<RolloutGroup> answers_of(const OpenModel& model, const Json& stage, Ops& ops) {
  constexpr int64_t kPuzzles = 40;
  constexpr uint64_t kSeed = 1;
  const auto task = make_task(stage["task"].get<std::string>(),
                              stage["knobs"].get<std::map<std::string, int64_t>>());
  EngineOptions options;
  options.max_context = model.model.max_positions();
  Engine engine(model.model, ops, options, &model.tokenizer);
  RolloutOptions rollout;
  read_config_json(stage["sampling"], "sampling", rollout.sampling);
  rollout.max_completion_length = stage["max_completion_length"];
  return sample_rollouts(engine, model.tokenizer, model.model.config(), *task,
                         evaluation_problems(*task, Split::kTest, kPuzzles, kSeed), rollout, kSeed);
}

// A held-out puzzle that the base failed and the trained model solved after thinking long.
void show_same_puzzle(const OpenModel& before, const OpenModel& after, const Json& stage,
                      Ops& ops) {
  const auto old_groups = answers_of(before, stage, ops),
             new_groups = answers_of(after, stage, ops);
  size_t chosen = 0, longest = 0;
  for (size_t i = 0; i < new_groups.size(); ++i) {
    const GradedCompletion& was = old_groups[i].completions[0];
    const GradedCompletion& is = new_groups[i].completions[0];
    constexpr size_t kReadable = 150;  // tokens: about ten attempts
    const size_t length = is.completion.ids.size();
    if (was.verdict.correct || !is.verdict.correct || length > kReadable) continue;
    if (length > longest) {
      longest = length;
      chosen = i;
    }
  }
  auto show = [&](const char* when, const GradedCompletion& c) {
    say("\n  %s: %s%s%s, %zu tokens\n%s\n", when, c.verdict.correct ? Style::green() : Style::red(),
        c.verdict.reason.c_str(), Style::reset(), c.completion.ids.size(),
        styled_completion(c.text, "    ").c_str());
  };
  say("\nThe same held-out puzzle, before and after:\n\n    %s",
      styled_completion(old_groups[chosen].problem.prompt, "    ").substr(4).c_str());
  show("before", old_groups[chosen].completions[0]);
  show("after", new_groups[chosen].completions[0]);
}

void demo(const Options& o) {
  Recipe recipe = parse_recipe(parse_toml(kDemoRecipe, "the demo's recipe"), o.set);
  recipe.version = R1_VERSION;
  recipe.seed = o.common.seed;
  if (!o.model.empty()) recipe.model = o.model;
  const int64_t grpo = recipe.find_stage("grpo");
  if (grpo < 0) throw InputError("the demo's recipe: its stage must keep the name grpo");
  Machine machine(o.common);
  const OpenModel base = open_model(recipe.model, {.dtype = "f32"}, machine.ops());
  std::filesystem::path path = o.out;
  if (path.empty()) {
    path = "runs/demo";
    if (recipe.seed != 1) path += "-seed-" + std::to_string(recipe.seed);
  }
  RunFolder folder(path);
  say("%sr1 demo%s: R1-Zero on Countdown. Reach the target from three numbers, each used once.\n"
      "The base model (%.2fM parameters) can do sums and check an attempt, but gives up early.\n"
      "Reinforcement learning with one reward, 1 for a right answer, teaches it to keep thinking.\n"
      "%d threads, %s, seed %llu, run folder %s\n\n",
      Style::bold(), Style::reset(), static_cast<double>(base.model.config().parameters()) / 1e6,
      machine.ops().threads(), machine.ops().isa(), static_cast<unsigned long long>(recipe.seed),
      path.c_str());
  ConsoleListener listener(kShowEvery);
  const RunResult result = run_recipe(recipe, folder, machine.ops(), listener);
  const auto report = write_report(path);
  const OpenModel trained = open_model(result.model.string(), {.dtype = "f32"}, machine.ops());
  if (result.was_finished) {
    say("This demo was run before: its result is below. For another: r1 demo --seed %llu\n",
        static_cast<unsigned long long>(recipe.seed + 1));
  }
  show_same_puzzle(base, trained, recipe.stages[static_cast<size_t>(grpo)]->json(), machine.ops());
  auto scores = read_scores(path);
  const Score &before = scores["before"], &after = scores["after"];
  say("\n%sAccuracy on %lld held-out puzzles%s\n  before  %s, %.0f tokens of thinking and answer\n"
      "  after   %s%s%s, %.0f tokens\n\n",
      Style::bold(), static_cast<long long>(after.problems), Style::reset(),
      percent_text(before.accuracy).c_str(), before.length, Style::green(),
      percent_text(after.accuracy).c_str(), Style::reset(), after.length);
  say("run folder  %s\nreport      %s  (open it in a browser)\n\nTry next:\n"
      "  r1 chat %s\n  r1 eval %s --task countdown -n 8\n  r1 run recipes/countdown-zero.toml\n",
      path.c_str(), report.c_str(), path.c_str(), path.c_str());
  if (o.common.json) {
    auto score_json = [](const Score& s) {
      return OrderedJson{{"accuracy", s.accuracy.value},
                         {"low", s.accuracy.low},
                         {"high", s.accuracy.high},
                         {"completion_length", s.length},
                         {"problems", s.problems}};
    };
    const OrderedJson row = {{"run", path.string()},
                             {"model", result.model.string()},
                             {"report", report.string()},
                             {"before", score_json(before)},
                             {"after", score_json(after)}};
    std::printf("%s\n", row.dump().c_str());
  }
}

}  // namespace

void add_demo(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand(
      "demo", "the main job: teach the shipped base model to think, in a few minutes");
  c->footer("Stopped, it goes on from its last checkpoint when started again.");
  c->add_option("--out", o->out, "the run's folder; default runs/demo");
  c->add_option("--model", o->model, "another base model to start from");
  c->add_option("--set", o->set, "key=value of its recipe, e.g. grpo.max_steps=20")
      ->allow_extra_args(false);
  o->common.add_to(*c);
  c->callback([o] { demo(*o); });
}

}  // namespace r1
