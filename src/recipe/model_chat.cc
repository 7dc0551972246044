#include "recipe/model_chat.h"

#include <algorithm>

#include "base/error.h"
#include "text/json_node.h"
#include "text/think.h"

namespace r1 {
namespace {

OrderedJson user_message(const std::string& text) {
  return OrderedJson::array({{{"role", "user"}, {"content", text}}});
}

void add_stop_ids(const JsonNode& node, std::vector<int32_t>& ids) {
  auto add = [&](const JsonNode& id) {
    const auto value = static_cast<int32_t>(id.integer(0, INT32_MAX));
    if (std::find(ids.begin(), ids.end(), value) == ids.end()) ids.push_back(value);
  };
  if (!node.is_array()) return add(node);
  for (const JsonNode& id : node.items()) add(id);
}

}  // namespace

ChatFormat::ChatFormat(ChatTemplate chat_template, SpecialTexts texts, const Tokenizer& tokenizer)
    : template_(std::move(chat_template)), texts_(std::move(texts)), tokenizer_(tokenizer) {
  try {
    opens_thinking_ = user_prompt("?").opens_thinking;
  } catch (const InputError&) {  // it wants other messages, and will say so when it gets them
  }
}

std::optional<ChatFormat> ChatFormat::of(const TokenizerFiles& files, const Tokenizer& tokenizer,
                                         const std::string& where) {
  auto chat_template = ChatTemplate::of_files(files, where);
  if (!chat_template) return std::nullopt;
  return ChatFormat(std::move(*chat_template), special_texts(files, where), tokenizer);
}

ChatPrompt ChatFormat::prompt(const OrderedJson& messages, ChatTemplateOptions options) const {
  if (options.bos_token.empty()) options.bos_token = texts_.bos_token;
  if (options.eos_token.empty()) options.eos_token = texts_.eos_token;
  const PromptText text = template_.render(messages, options);
  // The template's own <think>, not one that a message ends in.
  const size_t tag = text.text.rfind(kThinkOpen);
  const bool own = text.data.empty() || text.data.back().end <= tag;
  return {tokenizer_.encode(text), own && r1::opens_thinking(text.text)};
}

ChatPrompt ChatFormat::user_prompt(const std::string& text) const {
  return prompt(user_message(text));
}

GenerationDefaults generation_defaults(const Json& generation, const std::string& where,
                                       const std::optional<ChatFormat>& chat,
                                       const std::vector<int32_t>& eos) {
  GenerationDefaults out;
  out.stop_ids = eos;
  if (chat && chat->opens_thinking()) {
    out.sampling.temperature = 0.6;
    out.sampling.top_p = 0.95;
  }
  const std::string file = where + ": generation_config.json";
  const JsonDocument document(generation.dump(), file);
  const JsonNode root = document.root();
  root.object();
  if (const auto ids = root.find("eos_token_id")) add_stop_ids(*ids, out.stop_ids);
  if (const auto temperature = root.find("temperature")) {
    out.sampling = {};
    out.sampling.temperature = temperature->number();
  }
  if (!root.boolean("do_sample", true)) out.sampling.temperature = 0;
  if (const auto k = root.find("top_k")) out.sampling.top_k = k->integer(0, INT32_MAX);
  if (const auto p = root.find("top_p")) out.sampling.top_p = p->number();
  if (const auto p = root.find("min_p")) out.sampling.min_p = p->number();
  try {
    out.sampling.check();
  } catch (const InputError& e) {
    throw InputError(file + ": " + e.what());
  }
  return out;
}

}  // namespace r1
