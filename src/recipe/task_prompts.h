// How a task's problems are put to a model: a prompt as it is, a question in the chat template.
#pragma once

#include <optional>
#include <string>

#include "package/model_chat.h"
#include "rl/rollout.h"

namespace r1 {

// Questions are prompts as they are, with a line's end, where there is no template. `system`: what
// stands before each question; empty: nothing. All is copied.
PromptFunction task_prompts(const std::optional<ChatFormat>& chat, const Tokenizer& tokenizer,
                            const std::string& system);

}  // namespace r1
