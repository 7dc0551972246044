// r1 generate: completions of prompts or conversations, batched.
#include <cstdio>

#include "base/error.h"
#include "base/rng.h"
#include "console.h"
#include "engine/engine.h"
#include "rows.h"
#include "session.h"
#include "text/think.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  WeightOptions weights;
  RowOptions rows;
  SamplingOptions sampling;
  ThinkingBudget thinking;
  std::string model, prompt;
  std::vector<std::string> stop;
  int64_t n = 1, max_new_tokens = 256;
  bool special = false, chat = false;
};

const ChatFormat& chat_format(const OpenModel& model) {
  if (!model.chat) {
    throw InputError(model.files.path.string() +
                     ": has no chat template (chat_template.jinja, or chat_template in "
                     "tokenizer_config.json); give prompts instead of messages");
  }
  return *model.chat;
}

ChatPrompt text_prompt(const Options& o, const OpenModel& model, const std::string& text) {
  if (o.chat) return chat_format(model).user_prompt(text);
  return {model.tokenizer.encode(text, o.special), opens_thinking(text)};
}

// A row's "messages", with "tools" and "chat_template_kwargs" as in the OpenAI API and vLLM, or its
// "prompt".
ChatPrompt row_prompt(const Options& o, const OpenModel& model, const OrderedJson& row,
                      const std::string& where) {
  const auto messages = row.find("messages");
  if (messages == row.end()) return text_prompt(o, model, text_field(row, "prompt", where));
  ChatTemplateOptions options;
  options.tools = row.value("tools", OrderedJson());
  options.variables = row.value("chat_template_kwargs", OrderedJson());
  if (!options.variables.is_null() && !options.variables.is_object()) {
    throw InputError("expected an object \"chat_template_kwargs\"");
  }
  return chat_format(model).prompt(*messages, std::move(options));
}

Request make_request(const Options& o, const OpenModel& model, const ChatPrompt& prompt,
                     uint64_t seed) {
  Request r;
  r.prompt = prompt.ids;
  r.sampling = o.sampling.over(model.defaults.sampling);
  r.max_new_tokens = o.max_new_tokens;
  r.n = o.n;
  r.seed = seed;
  r.stop = o.stop;
  r.stop_ids = model.defaults.stop_ids;
  r.thinking = o.thinking;
  r.thinking.opened_by_prompt = prompt.opens_thinking;
  r.text_events = false;
  return r;
}

OrderedJson completion_json(const Completion& c) {
  const ThinkSplit split = c.parts();
  OrderedJson out = {{"text", c.text}, {"thinking", nullptr}, {"answer", split.answer}};
  if (split.opened) out["thinking"] = split.thinking;
  out["ids"] = c.ids;
  out["logprobs"] = c.logprobs;
  if (!c.forced.empty()) out["forced"] = c.forced;
  out["finish_reason"] = finish_reason_name(c.reason);
  return out;
}

struct Pending {
  OrderedJson row;
  int64_t request;
};

// All rows run together: continuous batching keeps the machine busy.
void generate_rows(const Options& o, const OpenModel& model, Engine& engine) {
  std::vector<Pending> pending;
  double done = 0;
  read_rows(o.rows.in, [&](OrderedJson& row, const std::string& where) {
    try {
      const ChatPrompt prompt = row_prompt(o, model, row, where);
      const uint64_t seed = mix_seed(o.common.seed, pending.size());
      const int64_t id = engine.submit(make_request(o, model, prompt, seed),
                                       [&](const TokenEvent& e) { done += e.last ? 1 : 0; });
      pending.push_back({std::move(row), id});
    } catch (const InputError& e) {
      const std::string why = e.what();
      throw InputError(why.starts_with(where) ? why : where + ": " + why);
    }
  });
  const double all = static_cast<double>(pending.size()) * static_cast<double>(o.n);
  ProgressLine line;
  while (engine.step()) {
    line.show(done / all, std::to_string(engine.stats().new_tokens) + " tokens", false);
  }
  line.clear();
  RowWriter writer(o.rows.out);
  for (Pending& p : pending) {
    OrderedJson completions = OrderedJson::array();
    for (const Completion& c : engine.take(p.request)) {
      completions.push_back(completion_json(c));
    }
    p.row["completion"] = completions[0]["text"];
    p.row["completions"] = std::move(completions);
    writer.write(p.row);
  }
  writer.finish();
}

void generate_one(const Options& o, const OpenModel& model, Engine& engine) {
  const ChatPrompt prompt = text_prompt(o, model, o.prompt);
  const Request request = make_request(o, model, prompt, o.common.seed);
  const auto completions = engine.generate(std::span(&request, 1));
  for (const Completion& c : completions[0]) {
    const OrderedJson json = completion_json(c);
    std::printf("%s\n", o.common.json ? json.dump().c_str()
                                      : json["text"].get_ref<const std::string&>().c_str());
  }
}

void generate(const Options& o) {
  if (o.rows.in.empty() == o.prompt.empty()) {
    throw InputError("generate: give either --prompt TEXT or --in FILE.jsonl");
  }
  if (o.chat && o.special) {
    throw InputError("generate: --chat and --add-special-tokens are two templates; give one");
  }
  Machine machine(o.common);
  const OpenModel model = open_model(o.model, o.weights, machine.ops());
  EngineOptions options;
  options.max_context = model.model.max_positions();
  Engine engine(model.model, machine.ops(), options, &model.tokenizer);
  o.prompt.empty() ? generate_rows(o, model, engine) : generate_one(o, model, engine);
}

}  // namespace

void add_generate(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("generate", "completions of a prompt, or of a file of prompts");
  c->footer(
      "  r1 generate MODEL --prompt 'Numbers: 3 7 8\nTarget: 53\n'\n"
      "  r1 generate MODEL --chat --prompt 'What is 6 times 7?' --think 100\n"
      "  r1 generate MODEL --in rows.jsonl --out done.jsonl -n 4\n"
      "Rows have \"prompt\", a text to go on from, or \"messages\", a conversation that goes "
      "through\n"
      "the model's chat template: [{\"role\": \"user\", \"content\": \"...\"}, ...]; beside it may "
      "stand\n"
      "\"tools\" and \"chat_template_kwargs\". Each row gets \"completion\", the first one's text, "
      "and\n"
      "\"completions\" with text, thinking, answer, ids, logprobs and finish_reason of each.");
  c->add_option("MODEL", o->model, kModelHelp);
  c->add_option("--prompt", o->prompt, "the text to go on from");
  c->add_flag("--chat", o->chat, "prompts are a user's messages: through the chat template");
  c->add_option("--in", o->rows.in, "JSON Lines with prompt or messages; - is the standard input");
  c->add_option("--out", o->rows.out, "where the rows go; default: the standard output");
  c->add_option("-n", o->n, "completions of each prompt")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  c->add_option("--max-new-tokens", o->max_new_tokens, "longest completion, thinking included")
      ->capture_default_str();
  add_thinking(*c, o->thinking);
  c->add_option("--stop", o->stop, "text that ends a completion, which it is no part of")
      ->allow_extra_args(false);
  c->add_flag("--add-special-tokens", o->special, "apply the tokenizer's template to prompts");
  o->weights.add_to(*c);
  o->sampling.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] { generate(*o); });
}

}  // namespace r1
