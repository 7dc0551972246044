#include "recipe/task_prompts.h"

#include "text/think.h"

namespace r1 {

PromptFunction task_prompts(const std::optional<ChatFormat>& chat, const Tokenizer& tokenizer,
                            const std::string& system) {
  return [=](const Problem& problem) -> TaskPrompt {
    if (problem.question && chat) {
      OrderedJson messages = OrderedJson::array();
      if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
      messages.push_back({{"role", "user"}, {"content", problem.prompt}});
      ChatPrompt prompt = chat->prompt(messages);
      return {std::move(prompt.ids), prompt.opens_thinking};
    }
    std::string text = problem.question && !system.empty() ? system + "\n\n" : "";
    text += problem.prompt + (problem.question ? "\n" : "");
    return {tokenizer.encode(text), opens_thinking(text)};
  };
}

}  // namespace r1
