#include "text/chat_template.h"

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/think.h"

namespace r1 {
namespace {

// A chat template of a model's folder is a few kilobytes; the largest known is 30.
constexpr size_t kMaxSource = size_t{1} << 20;

constexpr std::string_view kProbe = "a thought that should not come back";

bool is_assistant(const OrderedJson& m) {
  return m.is_object() && m.value("role", OrderedJson()) == "assistant";
}

// What a model said: data, but for the tags of its thinking.
jinja::Value own_message(const OrderedJson& m, jinja::Budget& budget) {
  using jinja::Text;
  std::vector<std::pair<jinja::Value, jinja::Value>> fields;
  for (const auto& [key, field] : m.items()) {
    jinja::Value value = jinja::Value::from_json(field, Text::kData, budget);
    if (key == "content" && value.is(jinja::Kind::kString)) {
      Text text = value.text();
      for (const std::string_view tag : {kThinkOpen, kThinkClose}) {
        for (size_t at = text.bytes.find(tag); at != text.bytes.npos;
             at = text.bytes.find(tag, at + tag.size())) {
          text.marks.replace(at, tag.size(), tag.size(), Text::kTemplate);
        }
      }
      value = jinja::Value::string(std::move(text));
    }
    fields.emplace_back(jinja::Value::string(Text(key, Text::kData)), std::move(value));
  }
  return jinja::Value::dict(std::move(fields));
}

OrderedJson message(std::string_view role, std::string_view content) {
  return {{"role", role}, {"content", content}};
}

}  // namespace

struct ChatTemplate::State {
  std::string source, where;
  std::vector<jinja::NodePtr> body;
  bool keeps_thinking = false;  // of earlier turns, so that render has to drop it

  PromptText render(const OrderedJson& messages, const ChatTemplateOptions& options) const;
};

PromptText ChatTemplate::State::render(const OrderedJson& messages,
                                       const ChatTemplateOptions& options) const {
  using jinja::Text;
  using jinja::Value;
  jinja::Interpreter interpreter(jinja::Limits{});
  auto data = [&](const OrderedJson& json) {
    return Value::from_json(json, Text::kData, interpreter.budget());
  };
  try {
    jinja::List list;
    for (const OrderedJson& m : messages) {
      list.push_back(is_assistant(m) ? own_message(m, interpreter.budget()) : data(m));
    }
    jinja::Variables variables = {
        {"messages", Value::list(std::move(list))},
        {"tools", data(options.tools)},
        {"documents", Value::none()},
        {"add_generation_prompt", Value::boolean(options.add_generation_prompt)},
    };
    if (!options.bos_token.empty()) {
      variables.emplace_back("bos_token", Value::string(options.bos_token));
    }
    if (!options.eos_token.empty()) {
      variables.emplace_back("eos_token", Value::string(options.eos_token));
    }
    for (const auto& given : options.variables.items()) {
      std::erase_if(variables, [&](const auto& known) { return known.first == given.key(); });
      variables.emplace_back(given.key(), data(given.value()));
    }
    const Text text = interpreter.run(body, variables);
    PromptText out;
    out.text = text.bytes;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text.marks[i] != Text::kData) continue;
      if (!out.data.empty() && out.data.back().end == i) {
        ++out.data.back().end;
      } else {
        out.data.push_back({i, i + 1});
      }
    }
    return out;
  } catch (const jinja::TemplateError& e) {
    throw InputError(where + ":" + std::to_string(interpreter.line()) + ": " + e.what());
  }
}

ChatTemplate ChatTemplate::parse(std::string_view source, const std::string& where) {
  if (source.size() > kMaxSource) {
    throw InputError(where + ": expected a chat template of at most " + std::to_string(kMaxSource) +
                     " bytes, came " + std::to_string(source.size()));
  }
  auto state = std::make_shared<State>();
  state->source = source;
  state->where = where;
  state->body = jinja::parse_template(source, where);
  try {
    const std::string thought =
        std::string(kThinkOpen) + std::string(kProbe) + std::string(kThinkClose) + "yes";
    ChatTemplateOptions options;
    options.bos_token = options.eos_token = " ";
    const PromptText probe = state->render(
        {message("user", "one"), message("assistant", thought), message("user", "two")}, options);
    state->keeps_thinking = probe.text.find(kProbe) != std::string::npos;
  } catch (const InputError&) {  // it wants other messages, and will say so when it gets them
    state->keeps_thinking = true;
  }
  return ChatTemplate(std::move(state));
}

std::optional<ChatTemplateSource> chat_template_source(
    const std::map<std::string, std::string>& files, const std::string& folder) {
  if (const auto file = files.find("chat_template.jinja"); file != files.end()) {
    return ChatTemplateSource{file->second, folder + "/chat_template.jinja"};
  }
  const auto file = files.find("tokenizer_config.json");
  if (file == files.end()) return std::nullopt;
  const std::string place = folder + "/tokenizer_config.json";
  const Json config = parse_json(file->second, place);
  if (!config.is_object()) throw InputError(place + ": expected a JSON object");
  const auto field = config.find("chat_template");
  if (field == config.end() || field->is_null()) return std::nullopt;
  if (field->is_string()) {
    return ChatTemplateSource{field->get<std::string>(), place + ": chat_template"};
  }
  // [{"name": "default", "template": "..."}, ...]
  if (field->is_array()) {
    for (const Json& named : *field) {
      if (!named.is_object() || named.value("name", Json()) != "default") continue;
      if (const auto text = named.find("template"); text != named.end() && text->is_string()) {
        return ChatTemplateSource{text->get<std::string>(), place + ": chat_template"};
      }
    }
  }
  throw InputError(place +
                   ": chat_template: expected a string, or named templates with \"default\" among "
                   "them");
}

std::optional<ChatTemplate> ChatTemplate::of_files(const std::map<std::string, std::string>& files,
                                                   const std::string& where) {
  const auto source = chat_template_source(files, where);
  if (!source) return std::nullopt;
  return parse(source->text, source->where);
}

PromptText ChatTemplate::render(const OrderedJson& messages,
                                const ChatTemplateOptions& options) const {
  if (!messages.is_array()) throw InputError(state_->where + ": expected a list of messages");
  if (!options.drop_thinking || !state_->keeps_thinking) return state_->render(messages, options);
  OrderedJson kept = messages;
  for (size_t i = 0; i + 1 < kept.size(); ++i) {
    OrderedJson& m = kept[i];
    if (!is_assistant(m)) continue;
    if (const auto content = m.find("content"); content != m.end() && content->is_string()) {
      *content = without_thinking(content->get_ref<const std::string&>());
    }
  }
  return state_->render(kept, options);
}

const std::string& ChatTemplate::source() const {
  return state_->source;
}

SpecialTexts special_texts(const std::map<std::string, std::string>& files,
                           const std::string& where) {
  SpecialTexts out;
  const auto file = files.find("tokenizer_config.json");
  if (file == files.end()) return out;
  const Json config = parse_json(file->second, where + "/tokenizer_config.json");
  auto read = [&](const char* key, std::string& to) {
    if (!config.is_object() || !config.contains(key)) return;
    const Json& token = config[key];  // a string, or an added token's object
    if (token.is_string()) to = token.get<std::string>();
    if (token.is_object() && token.contains("content") && token["content"].is_string()) {
      to = token["content"].get<std::string>();
    }
  };
  read("bos_token", out.bos_token);
  read("eos_token", out.eos_token);
  return out;
}

std::string without_thinking(std::string_view content) {
  const size_t close = content.rfind(kThinkClose);
  if (close == content.npos) return std::string(content);
  return std::string(content.substr(close + kThinkClose.size()));
}

}  // namespace r1
