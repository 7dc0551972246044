// r1 eval: how often a model is right, by the compute it spends.
#include <cstdio>

#include "base/error.h"
#include "console.h"
#include "rl/evaluation.h"
#include "rows.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  SamplingOptions sampling;
  std::string model, task, dtype = "auto", completions;
  int64_t n = 1, problems = 200, max_new_tokens = 400;
};

// Rows of a file: graded by the built-in task that a row names, or by its "answer".
class FileTask : public Task {
 public:
  explicit FileTask(const std::string& file) : file_(file) {
    read_rows(file, [&](OrderedJson& row, const std::string& where) {
      Problem p;
      p.prompt = text_field(row, "prompt", where);
      p.key = where;
      if (row.contains("task")) {
        const std::string name = text_field(row, "task", where);
        if (!verifiers_.contains(name)) verifiers_[name] = make_task(name);
        p.data = {{"task", name}, {"problem", Json(row.value("problem", OrderedJson::object()))}};
      } else {
        p.answer = text_field(row, "answer", where);
        p.data = {{"answer", p.answer}};
      }
      problems_.push_back(std::move(p));
    });
    if (problems_.empty()) throw InputError(file + ": holds no problems");
  }
  std::string name() const override { return file_; }
  std::string description() const override { return "problems of a file"; }
  std::vector<Knob> knobs() const override { return {}; }
  Problem sample(Rng& rng, Split) const override { return problems_[rng.below(problems_.size())]; }
  std::vector<Problem> all(Split) const override { return problems_; }
  Verdict verify(const Problem& problem, std::string_view completion) const override {
    if (problem.data.contains("task")) {
      Problem inner;
      inner.data = problem.data["problem"];
      return verifiers_.at(problem.data["task"])->verify(inner, completion);
    }
    return verify_exact(problem.answer, completion);
  }

 private:
  std::string file_;
  std::vector<Problem> problems_;
  std::map<std::string, std::unique_ptr<Task>> verifiers_;
};

void print_table(const Evaluation& e) {
  std::printf("%lld problems, %lld completions of each, %.1f tokens a completion\n",
              static_cast<long long>(e.problems), static_cast<long long>(e.samples),
              e.completion_length);
  std::printf("%lld unparseable, %lld cut off\n\n", static_cast<long long>(e.unparseable),
              static_cast<long long>(e.truncated));
  std::printf("%6s  %12s  %-24s  %-24s\n", "k", "tokens", "pass@k (95% interval)",
              "maj@k (95% interval)");
  for (const EvaluationAtK& row : e.at_k) {
    std::printf("%6lld  %12.1f  %5.1f%%  (%5.1f to %5.1f)   %5.1f%%  (%5.1f to %5.1f)\n",
                static_cast<long long>(row.k), row.tokens, 100 * row.pass.value, 100 * row.pass.low,
                100 * row.pass.high, 100 * row.majority.value, 100 * row.majority.low,
                100 * row.majority.high);
  }
}

void eval(const Options& o) {
  Machine machine(o.common);
  const bool file = o.task.ends_with(".jsonl");
  const std::unique_ptr<Task> task = file ? std::make_unique<FileTask>(o.task) : make_task(o.task);
  const OpenModel model =
      open_model(o.model, parse_dtype_option(o.dtype), Model::Use::kInference, machine.ops());
  EngineOptions options;
  options.max_context = model.model.max_positions();
  Engine engine(model.model, machine.ops(), options, &model.tokenizer);
  auto problems = evaluation_problems(*task, Split::kTest, o.problems, o.common.seed);
  const double all = static_cast<double>(problems.size()) * static_cast<double>(o.n);
  ProgressLine line;
  const auto groups = sample_rollouts(
      engine, model.tokenizer, model.model.config(), *task, std::move(problems),
      {o.sampling.over(model.defaults.sampling), o.n, o.max_new_tokens}, o.common.seed,
      [&](int64_t done) {
        line.show(static_cast<double>(done) / all, std::to_string(done) + " completions", false);
      });
  line.clear();
  const Evaluation e = evaluate_groups(groups);
  if (!o.completions.empty()) {
    RowWriter writer(o.completions);
    for (const RolloutGroup& g : groups) {
      for (const GradedCompletion& c : g.completions) {
        writer.write({{"prompt", g.problem.prompt},
                      {"completion", c.text},
                      {"reward", c.verdict.reward},
                      {"reason", c.verdict.reason},
                      {"tokens", c.completion.ids.size()}});
      }
    }
    writer.finish();
  }
  if (o.common.json) {
    OrderedJson json = {{"model", model.files.path.string()}, {"task", o.task}};
    json.update(evaluation_json(e));
    std::printf("%s\n", json.dump().c_str());
  } else {
    print_table(e);
  }
}

}  // namespace

void add_eval(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("eval", "pass@1, pass@k and maj@k on held-out problems");
  c->footer(
      "A FILE.jsonl has rows with \"prompt\" and \"answer\", or with \"prompt\", \"task\" and\n"
      "\"problem\" as 'r1 task sample' prints them.");
  c->add_option("MODEL", o->model, kModelHelp);
  c->add_option("--task", o->task, "a built-in task, or a FILE.jsonl")->required();
  c->add_option("-n", o->n, "completions of each problem")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  c->add_option("--problems", o->problems, "how many problems")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  c->add_option("--max-new-tokens", o->max_new_tokens, "longest completion")->capture_default_str();
  c->add_option("--completions", o->completions, "file for the completions with their rewards");
  c->add_option("--dtype", o->dtype, kDtypeHelp)->capture_default_str();
  o->sampling.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] { eval(*o); });
}

}  // namespace r1
