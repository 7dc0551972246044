// r1 verify: grades completions.
#include "base/error.h"
#include "rows.h"
#include "session.h"
#include "tasks/verifier.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  RowOptions rows;
  std::string verifier, field = "completion";
};

void verify(const Options& o) {
  const auto verifier = make_verifier(o.verifier);
  edit_rows(o.rows, [&](OrderedJson& row, const std::string& where) {
    const std::string completion = text_field(row, o.field.c_str(), where);
    try {
      const Verdict verdict = verifier->verify(problem_of_row(row), completion);
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
  std::string verifiers;
  for (const std::string& name : verifier_names()) {
    verifiers +=
        "  " + name + std::string(8 - name.size(), ' ') + make_verifier(name)->description() + "\n";
  }
  c->footer(
      "Verifiers, beside those of the built-in tasks (r1 task list):\n" + verifiers +
      "\nA row holds the completion and its problem:\n"
      "  {\"problem\": \"What is 3/4 of 2?\", \"answer\": \"\\\\frac{3}{2}\",\n"
      "   \"completion\": \"<think>...</think> It is \\\\boxed{1.5}.\"}\n"
      "  {\"numbers\": [3, 7, 8], \"target\": 53, \"completion\": \"<answer>7 * 8 - 3</answer>\"}\n"
      "and comes back with \"reward\" (1 or 0) and \"reason\": correct, wrong, unparseable, no\n"
      "answer, ... What counts as an answer and what as equal: docs/verifiers.md.");
  c->add_option("--verifier", o->verifier, "one of those below, or a task's name")->required();
  c->add_option("--field", o->field, "the field that holds the completion")->capture_default_str();
  o->rows.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] { verify(*o); });
}

}  // namespace r1
