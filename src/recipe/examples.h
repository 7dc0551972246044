// What supervised stages train on: worked solutions of a task, or a JSONL file.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/config.h"
#include "package/model_chat.h"
#include "tasks/task.h"
#include "text/tokenizer.h"
#include "train/supervised.h"

namespace r1 {

// The keys of a stage that say what it trains on.
struct ExampleOptions {
  std::string task = "countdown";
  std::map<std::string, int64_t> knobs;
  std::string dataset;
  SolutionOptions traces;

  template <class V>
  void visit(V& v) {
    v("task", task, "a built-in task whose worked solutions are the data; see r1 task list");
    v("knobs", knobs, "the task's difficulty");
    v("dataset", dataset,
      "instead, the earlier stage that made a data set, or a JSONL file: rows with prompt or "
      "problem, and completion, or messages (the loss is on the completion), or text");
    v("traces", traces, "how countdown's solutions are written");
  }
};

// Example i as a pure function of (stage, tokenizer, seed, i); each ends with `eos` if there is one
// (-1: none).
//
//   task       what the task says of itself (Task::worked_example): for countdown a trace of
//              thinking, else a problem and its reference answer in <answer>
//   dataset    rows with "prompt" and "completion", "problem" and "completion", or "messages" of
//              which an assistant's is the last (the loss is on the completion), or "text" (on all
//              of it; cut into pieces of max_tokens). Shuffled anew each epoch. A problem is put as
//              evaluations put it (recipe/task_prompts.h, with the verifier math's instruction);
//              messages need a chat template.
//
// InputError names the file and line of a row that is none of these or does not fit max_tokens.
Supervised::Examples make_examples(const ExampleOptions& options, const Tokenizer& tokenizer,
                                   const std::optional<ChatFormat>& chat, int32_t eos,
                                   int64_t max_tokens, uint64_t seed);

}  // namespace r1
