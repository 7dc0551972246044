// Chat templates: conversations as the text that a model was trained on, by the Jinja template
// published with it (transformers' apply_chat_template). The interpreter is
// text/jinja/interpreter.h.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace r1 {

struct ChatTemplateSource {
  std::string text, where;
};
// The template of a model's folder, given its small files by name: chat_template.jinja, else
// chat_template in tokenizer_config.json (a string, or named ones of which "default" counts).
// Nothing if there is none. `folder` is for messages.
std::optional<ChatTemplateSource> chat_template_source(
    const std::map<std::string, std::string>& files, const std::string& folder);

struct ChatTemplateOptions {
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  OrderedJson tools;      // a list, or null: the template sees none
  OrderedJson variables;  // an object of further names (enable_thinking), or null
  // Earlier turns lose their thinking, whether or not the template takes it out (DeepSeek-R1's
  // rule). False: exactly what transformers renders.
  bool drop_thinking = true;
};

// Immutable: copies share one state, and every method may run on many threads at once.
class ChatTemplate {
 public:
  // InputError("WHERE:LINE: ...") for what is no Jinja, or a construct outside of the subset.
  static ChatTemplate parse(std::string_view source, const std::string& where);
  // That of a model's folder, where there is one.
  static std::optional<ChatTemplate> of_files(const std::map<std::string, std::string>& files,
                                              const std::string& where);

  // messages: [{"role": ..., "content": ...}, ...] as OpenAI and transformers have them.
  // InputError for what the template refuses, with the line; and where it exceeds its bounds of
  // steps, depth and output.
  //
  // Every byte knows whether the template wrote it or a message: text of users, tools and models
  // that looks like a special token is never one (Tokenizer::encode of a PromptText), but for
  // <think> and </think> of an assistant.
  PromptText render(const OrderedJson& messages, const ChatTemplateOptions& options) const;

  const std::string& source() const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// The texts of the special tokens that tokenizer_config.json names; empty where it names none.
struct SpecialTexts {
  std::string bos_token, eos_token;
};
SpecialTexts special_texts(const std::map<std::string, std::string>& files,
                           const std::string& where);

// An assistant's message without its thinking: what follows the last </think>.
std::string without_thinking(std::string_view content);

}  // namespace r1
