#include "tasks/verifier.h"

#include <algorithm>

#include "base/error.h"
#include "base/text_util.h"

namespace r1 {
namespace {

struct Row {
  const char* name;
  std::unique_ptr<Verifier> (*make)();
};

constexpr Row kVerifiers[] = {
    {"math", make_math_verifier},
    {"choice", make_choice_verifier},
    {"exact", make_exact_verifier},
    {"code", make_code_verifier},
};

class TaskVerifier : public Verifier {
 public:
  explicit TaskVerifier(std::unique_ptr<Task> task) : task_(std::move(task)) {}
  std::string name() const override { return task_->name(); }
  std::string description() const override { return task_->description(); }
  Verdict verify(const Problem& problem, std::string_view completion) const override {
    return task_->verify(problem, completion);
  }
  std::string vote(std::string_view completion) const override { return task_->vote(completion); }

 private:
  std::unique_ptr<Task> task_;
};

}  // namespace

std::vector<std::string> verifier_names() {
  std::vector<std::string> names;
  for (const Row& row : kVerifiers) names.emplace_back(row.name);
  return names;
}

std::unique_ptr<Verifier> make_verifier(std::string_view name) {
  for (const Row& row : kVerifiers) {
    if (name == row.name) return row.make();
  }
  std::vector<std::string> names = verifier_names();
  const std::vector<std::string> tasks = task_names();
  names.insert(names.end(), tasks.begin(), tasks.end());
  if (std::find(tasks.begin(), tasks.end(), name) != tasks.end()) {
    return std::make_unique<TaskVerifier>(make_task(name));
  }
  throw InputError("no verifier is called '" + std::string(name) + "'" + did_you_mean(name, names) +
                   "; see r1 verify --help");
}

Problem problem_of_row(const OrderedJson& row) {
  Problem problem;
  const OrderedJson* data = &row;
  for (const char* key : {"data", "problem"}) {
    if (row.contains(key) && row[key].is_object()) data = &row[key];
  }
  problem.data = Json(*data);
  if (const auto answer = row.find("answer"); answer != row.end()) {
    if (answer->is_string()) problem.answer = *answer;
    if (answer->is_number()) problem.answer = answer->dump();
  }
  for (const char* key : {"problem", "prompt"}) {
    if (problem.prompt.empty() && row.contains(key) && row[key].is_string()) {
      problem.prompt = row[key];
    }
  }
  return problem;
}

}  // namespace r1
