// The keys of a stage that puts a task's problems to a model.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/config.h"
#include "tasks/file_task.h"

namespace r1 {

struct StageTask {
  std::string task = "countdown";
  std::map<std::string, int64_t> knobs;
  std::string verifier, prompt_template, system;

  template <class V>
  void visit(V& v) {
    v("task", task, "a built-in task (see r1 task list), or a FILE.jsonl with problem and answer");
    v("knobs", knobs, "a built-in task's difficulty");
    v("verifier", verifier,
      "what grades a file's problems: math, choice, exact, code; empty: by the rows' fields");
    v("prompt_template", prompt_template,
      "what a file's question becomes, with {problem} in it; empty: the verifier's instruction");
    v("system", system, "the system prompt before a file's question; empty: none");
  }

  // hold_out: of a file's problems one in six is kept out of training, as of a built-in task's.
  std::unique_ptr<Task> open(bool hold_out) const {
    return open_task(task, knobs, {verifier, prompt_template, hold_out});
  }
};

}  // namespace r1
