// What supervised stages train on: worked solutions of a task, or a JSONL file.
#pragma once

#include <optional>

#include "package/model_chat.h"
#include "recipe/recipe.h"
#include "text/tokenizer.h"
#include "train/supervised.h"

namespace r1 {

// Example i as a pure function of (stage, tokenizer, seed, i); each ends with `eos` if there is one
// (-1: none).
//
//   task       a problem of the training split and its solution: for countdown a trace of thinking
//              (tasks/countdown_traces.h), else the reference answer in <answer>
//   dataset    rows with "prompt" and "completion", "problem" and "completion", or "messages" of
//              which an assistant's is the last (the loss is on the completion), or "text" (on all
//              of it; cut into pieces of max_tokens). Shuffled anew each epoch. A problem is put as
//              evaluations put it (recipe/task_prompts.h, with the verifier math's instruction);
//              messages need a chat template.
//
// InputError names the file and line of a row that is none of these or does not fit max_tokens.
Supervised::Examples make_examples(const SupervisedStage& stage, const Tokenizer& tokenizer,
                                   const std::optional<ChatFormat>& chat, int32_t eos,
                                   int64_t max_tokens, uint64_t seed);

}  // namespace r1
