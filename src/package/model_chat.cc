#include "package/model_chat.h"

#include <algorithm>

#include "base/error.h"
#include "model/config_reader.h"
#include "text/think.h"

namespace r1 {
namespace {

OrderedJson user_message(const std::string& text) {
  return OrderedJson::array({{{"role", "user"}, {"content", text}}});
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
  const ConfigReader in(generation, file);
  for (const int32_t id : in.token_ids("eos_token_id", int64_t{INT32_MAX} + 1)) {
    if (std::ranges::find(out.stop_ids, id) == out.stop_ids.end()) out.stop_ids.push_back(id);
  }
  SamplingParams& sampling = out.sampling;
  if (in.has("temperature")) sampling = {};
  sampling.temperature = in.number("temperature", 0, 100, sampling.temperature);
  if (!in.boolean("do_sample", true)) sampling.temperature = 0;
  sampling.top_k = in.integer("top_k", 0, INT32_MAX, sampling.top_k);
  sampling.top_p = in.number("top_p", 0, 1, sampling.top_p);
  sampling.min_p = in.number("min_p", 0, 1, sampling.min_p);
  try {
    out.sampling.check();
  } catch (const InputError& e) {
    throw InputError(file + ": " + e.what());
  }
  return out;
}

}  // namespace r1
