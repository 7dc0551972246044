#include "tasks/file_task.h"

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "tasks/rational.h"

namespace r1 {
namespace {

constexpr const char* kVerifierKey = "verifier";  // of Problem::data, beside "row"
constexpr std::string_view kPlace = "{problem}";

bool is_text(const OrderedJson& row, const char* key) {
  return row.contains(key) && row[key].is_string();
}

std::string filled(const std::string& prompt_template, const std::string& problem) {
  std::string out = prompt_template;
  for (size_t at = 0; (at = out.find(kPlace, at)) != out.npos; at += problem.size()) {
    out.replace(at, kPlace.size(), problem);
  }
  return out;
}

}  // namespace

FileTask::FileTask(const std::string& file, const FileTaskOptions& options) : file_(file) {
  if (!options.prompt_template.empty() &&
      options.prompt_template.find(kPlace) == std::string::npos) {
    throw InputError("the prompt template has no {problem} in it: " +
                     in_quotes(options.prompt_template));
  }
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) {
    throw InputError(file + ": cannot be opened for reading");
  }
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    const std::string where = file + ":" + std::to_string(++number);
    if (trim(line).empty()) continue;
    const OrderedJson row = parse_ordered_json(line, where);
    if (!row.is_object()) throw InputError(where + ": expected a JSON object");
    add_row(row, options, where);
  }
  if (in.bad()) throw JobError(file + ": cannot be read to its end");
  if (train_.empty() && test_.empty()) throw InputError(file + ": holds no problems");
  if (verifiers_.size() == 1) only_ = verifiers_.begin()->second.get();
}

void FileTask::add_row(const OrderedJson& row, const FileTaskOptions& options,
                       const std::string& where) {
  const bool question = is_text(row, "problem");
  if (!question && !is_text(row, "prompt")) {
    throw InputError(where + ": expected a string \"problem\" or \"prompt\"");
  }
  const bool named = options.verifier.empty() && row.contains("task");
  if (named && !is_text(row, "task")) {
    throw InputError(where + ": expected a string \"task\", the name of a built-in task");
  }
  const std::string name = !options.verifier.empty() ? options.verifier
                           : named                   ? row["task"].get<std::string>()
                           : row.contains("tests")   ? "code"
                           : question                ? "math"
                                                     : "exact";
  const Verifier& grader = verifier(name);
  Problem p = problem_of_row(row);
  try {
    grader.verify(p, "");  // a row that cannot be graded is found here, not after sampling
  } catch (const InputError& e) {
    throw InputError(where + ": " + e.what());
  }
  p.key = question ? row["problem"].get<std::string>() : row["prompt"].get<std::string>();
  p.question = question;
  p.prompt = p.key;
  const std::string ask = options.prompt_template.empty()
                              ? std::string(kPlace) + grader.instruction()
                              : options.prompt_template;
  if (question) p.prompt = filled(ask, p.key);
  p.data = {{kVerifierKey, name}, {"problem", std::move(p.data)}};
  const bool test = !options.hold_out || split_of(p.key) == Split::kTest;
  if (!options.hold_out || !test) train_.push_back(p);
  if (test) test_.push_back(std::move(p));
}

const Verifier& FileTask::verifier(const std::string& name) {
  auto& found = verifiers_[name];
  if (found == nullptr) found = make_verifier(name);
  return *found;
}

Problem FileTask::sample(Rng& rng, Split split) const {
  const std::vector<Problem>& from = split == Split::kTrain ? train_ : test_;
  if (from.empty()) {
    throw JobError(file_ + ": too few problems to train on some and hold out others");
  }
  return from[rng.below(from.size())];
}

std::vector<Problem> FileTask::all(Split split) const {
  return split == Split::kTrain ? train_ : test_;
}

Verdict FileTask::verify(const Problem& problem, std::string_view completion) const {
  Problem inner;
  inner.prompt = problem.key;
  inner.answer = problem.answer;
  inner.data = problem.data.at("problem");
  return verifiers_.at(problem.data.at(kVerifierKey))->verify(inner, completion);
}

std::string FileTask::vote(std::string_view completion) const {
  return only_ != nullptr ? only_->vote(completion) : Task::vote(completion);
}

bool FileTask::same_vote(const std::string& a, const std::string& b) const {
  return only_ != nullptr ? only_->same_vote(a, b) : a == b;
}

std::unique_ptr<Task> open_task(const std::string& name,
                                const std::map<std::string, int64_t>& knobs,
                                const FileTaskOptions& options) {
  if (!name.ends_with(".jsonl")) {
    if (!options.verifier.empty()) {
      throw InputError("task " + name + " is graded by its own verifier, not by " +
                       options.verifier);
    }
    return make_task(name, knobs);
  }
  if (!knobs.empty()) throw InputError("task " + name + " is a file: it has no knobs");
  return std::make_unique<FileTask>(name, options);
}

}  // namespace r1
