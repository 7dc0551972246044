// A task that is a file: problems with answers, one a line of JSON.
//
//   {"problem": "Natalia sold ...", "answer": "72"}     a question, put to a model in its chat
//                                                       template and graded by a verifier
//   {"prompt": "2 + 2 =", "answer": "4"}                a prompt as it is
//   {"prompt": ..., "task": "countdown", "problem": {"numbers": ..., "target": ...}}
//                                                       as 'r1 task sample' prints it
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"
#include "tasks/verifier.h"

namespace r1 {

struct FileTaskOptions {
  // A verifier's name. Empty: a row's "task"; "code" for rows with "tests"; "math" for rows with
  // "problem", "exact" for rows with "prompt".
  std::string verifier;
  // What a question becomes, with {problem} where it goes; empty: the verifier's instruction, as
  // DeepSeek-R1's authors recommend ("Please reason step by step, and put your final answer within
  // \boxed{}.").
  std::string prompt_template;
  // Whether one problem in six is held out of training (split_of), as of built-in tasks. False: all
  // of the file belongs to both splits.
  bool hold_out = false;
};

class FileTask : public Task {
 public:
  // InputError names file and line of a row that is no problem.
  explicit FileTask(const std::string& file, const FileTaskOptions& options = {});

  std::string name() const override { return file_; }
  std::string description() const override { return "problems of a file"; }
  std::vector<Knob> knobs() const override { return {}; }
  Problem sample(Rng& rng, Split split) const override;
  std::vector<Problem> all(Split split) const override;
  Verdict verify(const Problem& problem, std::string_view completion) const override;
  std::string vote(std::string_view completion) const override;
  bool same_vote(const std::string& a, const std::string& b) const override;

 private:
  void add_row(const OrderedJson& row, const FileTaskOptions& options, const std::string& where);
  const Verifier& verifier(const std::string& name);

  std::string file_;
  std::map<std::string, std::unique_ptr<Verifier>> verifiers_;
  const Verifier* only_ = nullptr;  // null: rows have different ones
  std::vector<Problem> train_, test_;
};

// What users may write for a task: the name of a built-in one, or a FILE.jsonl. InputError if the
// other's options (knobs, a verifier) are given.
std::unique_ptr<Task> open_task(const std::string& name,
                                const std::map<std::string, int64_t>& knobs,
                                const FileTaskOptions& options);

}  // namespace r1
