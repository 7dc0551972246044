// r1 task: the built-in procedural tasks.
#include "tasks/task.h"

#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  std::string name, split = "train";
  std::vector<std::string> set;
  int64_t n = 5;
};

std::map<std::string, int64_t> parse_knobs(const std::vector<std::string>& assignments) {
  std::map<std::string, int64_t> knobs;
  for (const std::string& text : assignments) {
    const size_t equals = text.find('=');
    int64_t value = 0;
    const char* end = text.data() + text.size();
    const bool ok = equals != std::string::npos && equals > 0 &&
                    std::from_chars(text.data() + equals + 1, end, value).ptr == end &&
                    equals + 1 < text.size();
    if (!ok) throw InputError("--set " + text + ": expected KNOB=WHOLE-NUMBER");
    knobs[text.substr(0, equals)] = value;
  }
  return knobs;
}

OrderedJson task_json(const Task& task) {
  OrderedJson knobs = OrderedJson::array();
  for (const Knob& k : task.knobs()) {
    knobs.push_back(
        {{"name", k.name}, {"value", k.value}, {"min", k.min}, {"max", k.max}, {"help", k.help}});
  }
  return {{"name", task.name()}, {"description", task.description()}, {"knobs", knobs}};
}

void list(const Options& o) {
  for (const std::string& name : task_names()) {
    const auto task = make_task(name);
    if (o.common.json) {
      std::printf("%s\n", task_json(*task).dump().c_str());
    } else {
      std::printf("%-18s %s\n", name.c_str(), task->description().c_str());
    }
  }
}

void show(const Options& o) {
  const auto task = make_task(o.name, parse_knobs(o.set));
  if (o.common.json) {
    std::printf("%s\n", task_json(*task).dump().c_str());
    return;
  }
  std::printf("%s: %s\n\n", task->name().c_str(), task->description().c_str());
  for (const Knob& k : task->knobs()) {
    std::printf("  %-14s %4lld  (%lld to %lld)  %s\n", k.name.c_str(),
                static_cast<long long>(k.value), static_cast<long long>(k.min),
                static_cast<long long>(k.max), k.help.c_str());
  }
  Rng rng(o.common.seed);
  const Problem problem = task->sample(rng, Split::kTrain);
  std::printf("\nA problem:\n\n%s\n", problem.prompt.c_str());
  if (!problem.answer.empty()) std::printf("\nits answer: %s\n", problem.answer.c_str());
}

void sample(const Options& o) {
  const auto task = make_task(o.name, parse_knobs(o.set));
  const Split split = o.split == "test" ? Split::kTest : Split::kTrain;
  Rng rng(o.common.seed);
  for (int64_t i = 0; i < o.n; ++i) {
    const Problem problem = task->sample(rng, split);
    OrderedJson row = {{"task", task->name()}, {"split", o.split}, {"prompt", problem.prompt}};
    if (!problem.answer.empty()) row["answer"] = problem.answer;
    row["problem"] = OrderedJson(problem.data);
    std::printf("%s\n", row.dump().c_str());
  }
}

}  // namespace

void add_task(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("task", "the built-in tasks: list, show, sample");
  c->require_subcommand(1);
  CLI::App* l = c->add_subcommand("list", "all tasks, one a line");
  o->common.add_to(*l);
  l->callback([o] { list(*o); });
  CLI::App* s = c->add_subcommand("show", "a task's knobs and a problem");
  CLI::App* p = c->add_subcommand("sample", "problems as JSON rows");
  for (CLI::App* sub : {s, p}) {
    sub->add_option("NAME", o->name, "the task")->required();
    sub->add_option("--set", o->set, "knob=value")->allow_extra_args(false);
    o->common.add_to(*sub);
  }
  p->add_option("-n", o->n, "how many")->capture_default_str()->check(CLI::Range(1, 1000000));
  p->add_option("--split", o->split, "train or test")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "test"}));
  s->callback([o] { show(*o); });
  p->callback([o] { sample(*o); });
}

}  // namespace r1
