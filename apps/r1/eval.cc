// r1 eval: how often a model is right, by the compute it spends.
#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "console.h"
#include "recipe/evaluation_file.h"
#include "recipe/task_prompts.h"
#include "rl/evaluation.h"
#include "session.h"
#include "tasks/file_task.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  WeightOptions weights;
  SamplingOptions sampling;
  FileTaskOptions file;
  std::string model, task, system, out;
  std::vector<int64_t> budgets;
  int64_t n = 1, problems = 0, max_new_tokens = 0, batch = 256, waits = 0;
};

// Problems of a file: all of them, with room to think; of a built-in task a sample.
constexpr int64_t kTaskProblems = 200, kTaskTokens = 400, kFileTokens = 4096;

// What the completions of a file are of: they belong to no other evaluation.
OrderedJson settings_of(const Options& o, const OpenModel& model, size_t problems) {
  const SamplingParams sampling = o.sampling.over(model.defaults.sampling);
  return {{"model", model.files.path.string()},
          {"dtype", o.weights.dtype},
          {"task", o.task},
          {"verifier", o.file.verifier},
          {"prompt_template", o.file.prompt_template},
          {"system", o.system},
          {"problems", problems},
          {"n", o.n},
          {"max_new_tokens", o.max_new_tokens},
          {"waits", o.waits},
          {"temperature", sampling.temperature},
          {"top_k", sampling.top_k},
          {"top_p", sampling.top_p},
          {"min_p", sampling.min_p},
          {"seed", o.common.seed}};
}

class Evaluator {
 public:
  Evaluator(const Options& options, const Task& task, const OpenModel& model, Engine& engine)
      : options_(options),
        task_(task),
        model_(model),
        engine_(engine),
        prompts_(task_prompts(model.chat, model.tokenizer, options.system)),
        problems_(evaluation_problems(task, Split::kTest, options.problems, options.common.seed)) {
    if (!options.out.empty()) {
      file_.emplace(options.out, settings_of(options, model, problems_.size()));
    }
  }

  // budget: tokens of thinking; -1: as many as the model likes.
  Evaluation evaluate(int64_t budget);

 private:
  const Options& options_;
  const Task& task_;
  const OpenModel& model_;
  Engine& engine_;
  PromptFunction prompts_;
  std::vector<Problem> problems_;
  std::optional<EvaluationFile> file_;
};

Evaluation Evaluator::evaluate(int64_t budget) {
  std::vector<RolloutGroup> groups(problems_.size());
  std::vector<Problem> open;
  RolloutOptions rollout{options_.sampling.over(model_.defaults.sampling), options_.n,
                         options_.max_new_tokens};
  rollout.max_context = model_.model.max_positions();
  rollout.thinking.max_tokens = budget;
  rollout.thinking.waits = options_.waits;
  rollout.prompts = prompts_;
  rollout.stop_ids = model_.defaults.stop_ids;
  for (size_t i = 0; i < problems_.size(); ++i) {
    const RolloutGroup* done = file_ ? file_->find(budget, i) : nullptr;
    if (done != nullptr) {
      groups[i] = *done;
    } else {
      rollout.numbers.push_back(i);
      open.push_back(problems_[i]);
    }
  }
  const double all = static_cast<double>(open.size()) * static_cast<double>(options_.n);
  const std::string label =
      options_.budgets.empty() ? "" : "budget " + std::to_string(budget) + ": ";
  ProgressLine line;
  RolloutProgress progress;
  progress.completions = [&](int64_t done) {
    line.show(static_cast<double>(done) / all, label + std::to_string(done) + " completions",
              false);
  };
  progress.group = [&](size_t i, const RolloutGroup& group) {
    if (file_) file_->add(budget, rollout.numbers[i], model_.tokenizer.decode(group.prompt), group);
  };
  auto sampled = sample_rollouts(engine_, model_.tokenizer, model_.model.config(), task_,
                                 std::move(open), rollout, options_.common.seed, progress);
  line.clear();
  for (size_t i = 0; i < sampled.size(); ++i) groups[rollout.numbers[i]] = std::move(sampled[i]);
  return evaluate_groups(groups);
}

std::string share_text(const Interval& i) {
  char text[64];
  std::snprintf(text, sizeof text, "%5.1f%%  (%5.1f to %5.1f)", 100 * i.value, 100 * i.low,
                100 * i.high);
  return text;
}

void print_table(const Evaluation& e) {
  std::printf("%lld problems, %lld completions of each, %.1f tokens a completion\n",
              static_cast<long long>(e.problems), static_cast<long long>(e.samples),
              e.completion_length);
  std::printf("%lld unparseable, %lld cut off\n\n", static_cast<long long>(e.unparseable),
              static_cast<long long>(e.truncated));
  std::printf("%6s  %12s  %-24s  %-24s\n", "k", "tokens", "pass@k (95% interval)",
              "maj@k (95% interval)");
  for (const EvaluationAtK& row : e.at_k) {
    std::printf("%6lld  %12.1f  %-24s  %s\n", static_cast<long long>(row.k), row.tokens,
                share_text(row.pass).c_str(), share_text(row.majority).c_str());
  }
}

void print_budgets(const std::vector<int64_t>& budgets, const std::vector<Evaluation>& all) {
  const std::string k = std::to_string(all[0].samples);
  std::printf("%lld problems, %s completions of each\n\n", static_cast<long long>(all[0].problems),
              k.c_str());
  std::printf("%8s  %9s  %9s  %-24s  %-24s  %s\n", "budget", "thinking", "tokens",
              "pass@1 (95% interval)", ("pass@" + k).c_str(), ("maj@" + k).c_str());
  for (size_t i = 0; i < all.size(); ++i) {
    const Evaluation& e = all[i];
    const double thinking =
        static_cast<double>(e.thinking_tokens) / static_cast<double>(e.problems * e.samples);
    std::printf("%8s  %9.1f  %9.1f  %-24s  %-24s  %s\n",
                budgets[i] < 0 ? "none" : std::to_string(budgets[i]).c_str(), thinking,
                e.completion_length, share_text(e.accuracy).c_str(),
                share_text(e.at_k.back().pass).c_str(), share_text(e.at_k.back().majority).c_str());
  }
}

void print_json(const Options& o, const OpenModel& model, const std::vector<int64_t>& budgets,
                const std::vector<Evaluation>& all) {
  OrderedJson json = {{"model", model.files.path.string()}, {"task", o.task}};
  if (o.budgets.empty()) {
    json.update(evaluation_json(all[0]));
  } else {
    json["budgets"] = OrderedJson::array();
    for (size_t i = 0; i < all.size(); ++i) {
      OrderedJson row = {{"budget", budgets[i]}, {"waits", o.waits}};
      row.update(evaluation_json(all[i]));
      json["budgets"].push_back(std::move(row));
    }
  }
  std::printf("%s\n", json.dump().c_str());
}

void eval(Options o) {
  Machine machine(o.common);
  const auto task = open_task(o.task, {}, o.file);
  const bool file = o.task.ends_with(".jsonl");
  if (o.max_new_tokens == 0) o.max_new_tokens = file ? kFileTokens : kTaskTokens;
  if (o.problems == 0) {
    o.problems = file ? static_cast<int64_t>(task->all(Split::kTest).size()) : kTaskProblems;
  }
  const OpenModel model = open_model(o.model, o.weights, machine.ops());
  EngineOptions options;
  options.max_context = model.model.max_positions();
  options.max_sequences = options.kept_pages = o.batch;
  options.max_batch_tokens = std::max(options.max_batch_tokens, o.batch);
  Engine engine(model.model, machine.ops(), options, &model.tokenizer);
  Evaluator evaluator(o, *task, model, engine);
  const std::vector<int64_t> budgets = o.budgets.empty() ? std::vector<int64_t>{-1} : o.budgets;
  std::vector<Evaluation> all;
  for (const int64_t budget : budgets) all.push_back(evaluator.evaluate(budget));
  if (o.common.json) {
    print_json(o, model, budgets, all);
  } else if (o.budgets.empty()) {
    print_table(all[0]);
  } else {
    print_budgets(budgets, all);
  }
}

}  // namespace

void add_eval(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("eval", "pass@1, pass@k and maj@k on held-out problems");
  c->footer(
      "A FILE.jsonl has rows with \"problem\" and \"answer\": questions, put to the model in its\n"
      "chat template and graded by the verifier math (r1 verify --help); or with \"prompt\" and\n"
      "\"answer\": prompts as they are; or as 'r1 task sample' prints them.\n\n"
      "  r1 eval MODEL --task gsm8k-test.jsonl -n 4 --out runs/gsm8k\n"
      "  r1 eval MODEL --task aime24.jsonl -n 16 --budgets 0,512,2048,-1\n\n"
      "With --out an evaluation that was interrupted goes on where it was. The result depends on\n"
      "neither --batch nor --threads.");
  c->add_option("MODEL", o->model, kModelHelp);
  c->add_option("--task", o->task, "a built-in task, or a FILE.jsonl")->required();
  c->add_option("--verifier", o->file.verifier,
                "what grades a file's problems; default: math for \"problem\", exact for "
                "\"prompt\", code for \"tests\"");
  c->add_option("--prompt-template", o->file.prompt_template,
                "what a question becomes, with {problem} in it; default: the problem and the "
                "verifier's instruction, such as R1's \"Please reason step by step, and put your "
                "final answer within \\boxed{}.\"");
  c->add_option("--system", o->system, "system prompt before a question; default: none");
  c->add_option("-n", o->n, "completions of each problem")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  c->add_option("--problems", o->problems, "how many problems; default: all of a file, else 200")
      ->check(CLI::Range(1, 1000000));
  c->add_option("--max-new-tokens", o->max_new_tokens,
                "longest completion; default: 4096 for a file, else 400")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  c->add_option("--budgets", o->budgets,
                "thinking is cut after so many tokens and an answer asked for, each in turn; -1: "
                "no limit")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 30));
  c->add_option("--waits", o->waits, "how often the end of the thinking becomes \"Wait\"")
      ->check(CLI::Range(0, 1000));
  c->add_option("--out", o->out, "folder or FILE.jsonl for the completions; goes on with it");
  c->add_option("--batch", o->batch, "completions at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  o->weights.add_to(*c);
  o->sampling.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] { eval(*o); });
}

}  // namespace r1
