// r1 run: a recipe, from its beginning or from where it stopped.
#include <cstdio>

#include "base/error.h"
#include "console.h"
#include "recipe/report.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  std::string recipe, out;
  std::vector<std::string> set;
  int64_t show = 10;
  bool seed_given = false;
};

void run(const Options& o) {
  Recipe recipe = read_recipe(o.recipe, o.set);
  recipe.version = R1_VERSION;
  if (o.seed_given) recipe.seed = o.common.seed;
  Machine machine(o.common);
  RunFolder folder(o.out.empty() ? "runs/" + recipe.name : o.out);
  say("run %s  recipe %s, seed %llu, %d threads, %s\n", folder.path().c_str(), o.recipe.c_str(),
      static_cast<unsigned long long>(recipe.seed), machine.ops().threads(), machine.ops().isa());
  ConsoleListener listener(o.show);
  RunResult result;
  try {
    result = run_recipe(recipe, folder, machine.ops(), listener);
  } catch (const JobError&) {
    // The page of what there is, if the disk still takes one: the first error is the one to tell.
    try {
      write_report(folder.path());
    } catch (const std::exception&) {
    }
    throw;
  }
  const auto report = write_report(folder.path());
  if (result.was_finished) say("this run was finished before; nothing to do\n");
  say("model   %s\nreport  %s\n", result.model.c_str(), report.c_str());
  if (o.common.json) {
    const OrderedJson row = {{"run", folder.path().string()},
                             {"model", result.model.string()},
                             {"report", report.string()},
                             {"was_finished", result.was_finished}};
    std::printf("%s\n", row.dump().c_str());
  }
}

}  // namespace

void add_run(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("run", "run, or go on with, a recipe");
  std::string kinds;
  for (const std::string& kind : stage_kinds()) kinds += (kinds.empty() ? "" : ", ") + kind;
  c->footer(
      "A recipe is a TOML file of stages: " + kinds +
      ". Its keys:\n\n"
      "  r1 run recipes/countdown-zero.toml --set grpo.learning_rate=2e-4 --out runs/trial\n\n"
      "Run the same command again to go on after an interruption: the result is the same, bit for\n"
      "bit. 'r1 run --keys' prints every key with its default.");
  c->add_option("RECIPE", o->recipe, "the recipe's TOML file");
  c->add_option("--set", o->set, "key=value: of the recipe, or STAGE.key=value")
      ->allow_extra_args(false);
  c->add_option("--out", o->out, "the run's folder; default runs/NAME");
  c->add_option("--show", o->show, "steps between completions shown; 0: none")
      ->capture_default_str();
  auto keys = std::make_shared<bool>(false);
  c->add_flag("--keys", *keys, "print every key of a recipe with its default and meaning");
  o->common.add_to(*c);
  c->callback([o, keys, c] {
    if (*keys) {
      std::printf("%s", recipe_help().c_str());
      return;
    }
    if (o->recipe.empty()) throw CLI::RequiredError("RECIPE");
    o->seed_given = c->count("--seed") > 0;
    run(*o);
  });
}

}  // namespace r1
