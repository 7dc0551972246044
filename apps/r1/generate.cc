// r1 generate: completions of prompts, batched.
#include <cstdio>

#include "base/error.h"
#include "base/rng.h"
#include "console.h"
#include "engine/engine.h"
#include "rows.h"
#include "session.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  RowOptions rows;
  SamplingParams sampling;
  std::string model, prompt, dtype = "auto";
  std::vector<std::string> stop;
  int64_t n = 1, max_new_tokens = 256;
  bool special = false;
};

Request make_request(const Options& o, const OpenModel& model, const std::string& prompt,
                     uint64_t seed) {
  Request r;
  r.prompt = model.tokenizer.encode(prompt, o.special);
  r.sampling = o.sampling;
  r.max_new_tokens = o.max_new_tokens;
  r.n = o.n;
  r.seed = seed;
  r.stop = o.stop;
  r.stop_ids = model.model.config().eos_token_ids;
  return r;
}

OrderedJson completion_json(const Completion& c, const Tokenizer& tokenizer) {
  return {{"text", tokenizer.decode(c.ids, true)},
          {"ids", c.ids},
          {"logprobs", c.logprobs},
          {"finish_reason", finish_reason_name(c.reason)}};
}

// All rows run together: continuous batching keeps the machine busy.
void generate_rows(const Options& o, const OpenModel& model, Engine& engine) {
  std::vector<int64_t> requests;
  std::vector<OrderedJson> rows;
  read_rows(o.rows.in, [&](OrderedJson& row, const std::string& where) {
    const std::string prompt = text_field(row, "prompt", where);
    try {
      requests.push_back(
          engine.submit(make_request(o, model, prompt, mix_seed(o.common.seed, rows.size()))));
    } catch (const InputError& e) {
      throw InputError(where + ": " + e.what());
    }
    rows.push_back(std::move(row));
  });
  const double all = static_cast<double>(rows.size()) * static_cast<double>(o.n);
  double done = 0;
  engine.on_token([&](const TokenEvent& e) { done += e.last ? 1 : 0; });
  ProgressLine line;
  while (engine.step()) {
    line.show(done / all, std::to_string(engine.stats().new_tokens) + " tokens", false);
  }
  line.clear();
  RowWriter writer(o.rows.out);
  for (size_t i = 0; i < rows.size(); ++i) {
    OrderedJson completions = OrderedJson::array();
    for (const Completion& c : engine.take(requests[i])) {
      completions.push_back(completion_json(c, model.tokenizer));
    }
    rows[i]["completion"] = completions[0]["text"];
    rows[i]["completions"] = std::move(completions);
    writer.write(rows[i]);
  }
  writer.finish();
}

void generate_one(const Options& o, const OpenModel& model, Engine& engine) {
  const Request request = make_request(o, model, o.prompt, o.common.seed);
  const auto completions = engine.generate(std::span(&request, 1))[0];
  for (const Completion& c : completions) {
    if (o.common.json) {
      std::printf("%s\n", completion_json(c, model.tokenizer).dump().c_str());
    } else {
      std::printf("%s\n", model.tokenizer.decode(c.ids, true).c_str());
    }
  }
}

void generate(const Options& o) {
  if (o.rows.in.empty() == o.prompt.empty()) {
    throw InputError("generate: give either --prompt TEXT or --in FILE.jsonl");
  }
  Machine machine(o.common);
  const OpenModel model =
      open_model(o.model, parse_dtype_option(o.dtype), Model::Use::kInference, machine.ops());
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
      "  r1 generate MODEL --in prompts.jsonl -n 4 --json   (rows with \"prompt\")");
  c->add_option("MODEL", o->model, kModelHelp);
  c->add_option("--prompt", o->prompt, "the text to go on from");
  c->add_option("--in", o->rows.in, "JSON Lines with prompt; - is the standard input");
  c->add_option("--out", o->rows.out, "where the rows go; default: the standard output");
  c->add_option("-n", o->n, "completions of each prompt")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));
  c->add_option("--max-new-tokens", o->max_new_tokens, "longest completion")->capture_default_str();
  c->add_option("--stop", o->stop, "text that ends a completion")->allow_extra_args(false);
  c->add_flag("--add-special-tokens", o->special, "apply the tokenizer's template to prompts");
  c->add_option("--dtype", o->dtype, kDtypeHelp)->capture_default_str();
  add_sampling(*c, o->sampling);
  o->common.add_to(*c);
  c->callback([o] { generate(*o); });
}

}  // namespace r1
