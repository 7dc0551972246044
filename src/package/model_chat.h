// How a model's folder says it is to be talked to: its chat template over its tokenizer, and its
// generation_config.json. What chat, generate and eval all start from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/sampling.h"
#include "package/model_files.h"
#include "text/chat_template.h"

namespace r1 {

struct ChatPrompt {
  std::vector<int32_t> ids;
  bool opens_thinking = false;  // it ends in <think>: the completion begins inside the thinking
};

// Immutable.
class ChatFormat {
 public:
  // Nothing if the model has no template. InputError names the file (`where`/...) that is wrong.
  static std::optional<ChatFormat> of(const TokenizerFiles& files, const Tokenizer& tokenizer,
                                      const std::string& where);

  // The ids of a conversation (chat_template.h). Text of users and tools never becomes special
  // tokens. options.bos_token and eos_token are the model's where they are empty.
  ChatPrompt prompt(const OrderedJson& messages, ChatTemplateOptions options = {}) const;
  // One user's message.
  ChatPrompt user_prompt(const std::string& text) const;

  // Whether its prompts leave the model inside its thinking, as DeepSeek-R1's do.
  bool opens_thinking() const { return opens_thinking_; }

 private:
  ChatFormat(ChatTemplate chat_template, SpecialTexts texts, const Tokenizer& tokenizer);

  ChatTemplate template_;
  SpecialTexts texts_;
  Tokenizer tokenizer_;
  bool opens_thinking_ = false;
};

struct GenerationDefaults {
  SamplingParams sampling;
  std::vector<int32_t> stop_ids;  // ends of a sequence or of a turn
};

// Of generation_config.json, or an empty object. Where it names no temperature, a
// model whose chat prompts open its thinking gets DeepSeek-R1's 0.6 with top-p 0.95, any other 1.
// `eos`: config.json's, which stop too. `where`: the model, for messages.
GenerationDefaults generation_defaults(const Json& generation, const std::string& where,
                                       const std::optional<ChatFormat>& chat,
                                       const std::vector<int32_t>& eos);

}  // namespace r1
