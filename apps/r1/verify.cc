// r1 verify: grades completions.
#include "base/error.h"
#include "rows.h"
#include "session.h"
#include "tasks/task.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  RowOptions rows;
  std::string verifier, field = "completion";
};

// The problem's parts stand in the row itself ("numbers", "target", ...) or in its "problem" or
// "data".
Problem problem_of(const OrderedJson& row) {
  Problem problem;
  const OrderedJson* data = &row;
  for (const char* key : {"data", "problem"}) {
    if (row.contains(key) && row[key].is_object()) data = &row[key];
  }
  problem.data = Json(*data);
  if (row.contains("answer") && row["answer"].is_string()) problem.answer = row["answer"];
  return problem;
}

void verify(const Options& o) {
  const auto task = make_task(o.verifier);
  edit_rows(o.rows, [&](OrderedJson& row, const std::string& where) {
    const std::string completion = text_field(row, o.field.c_str(), where);
    try {
      const Verdict verdict = task->verify(problem_of(row), completion);
      row["reward"] = verdict.reward;
      row["reason"] = verdict.reason;
    } catch (const InputError& e) {
      throw InputError(where + ": " + e.what());
    }
  });
}

}  // namespace

void add_verify(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("verify", "grade completions: adds reward and reason to rows");
  c->footer(
      "A row holds the completion and its problem, as 'r1 task sample' prints it:\n"
      "  {\"numbers\": [3, 7, 8], \"target\": 53, \"completion\": \"<answer>7 * 8 - 3</answer>\"}");
  c->add_option("--verifier", o->verifier, "a task's name; see r1 task list")->required();
  c->add_option("--field", o->field, "the field that holds the completion")->capture_default_str();
  o->rows.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] { verify(*o); });
}

}  // namespace r1
