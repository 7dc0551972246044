// r1 chat: talk to a model and watch it think.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "base/rng.h"
#include "console.h"
#include "engine/engine.h"
#include "session.h"
#include "tasks/countdown.h"
#include "text/think.h"

namespace r1 {
namespace {

struct Options {
  CommonOptions common;
  SamplingParams sampling;
  std::string model, dtype = "f32";
  int64_t max_new_tokens = 0;
};

// "3 7 8 53" or "3, 7, 8 = 53": all numbers, the last one the target.
std::optional<CountdownProblem> parse_puzzle(const std::string& line) {
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < line.size();) {
    if (line[i] >= '0' && line[i] <= '9') {
      int64_t value = 0;
      for (; i < line.size() && line[i] >= '0' && line[i] <= '9'; ++i) {
        value = std::min<int64_t>(value * 10 + (line[i] - '0'), 100000);
      }
      numbers.push_back(value);
    } else if (std::string_view(" ,;=>-").find(line[i]) != std::string_view::npos) {
      ++i;
    } else {
      return std::nullopt;
    }
  }
  if (numbers.size() < 3) return std::nullopt;
  CountdownProblem problem;
  problem.target = numbers.back();
  numbers.pop_back();
  std::sort(numbers.begin(), numbers.end());
  problem.numbers = std::move(numbers);
  return problem;
}

class Chat {
 public:
  Chat(const Options& o, const OpenModel& model, Ops& ops)
      : options_(o),
        model_(model),
        engine_(model.model, ops, engine_options(model), &model.tokenizer) {
    // A model whose vocabulary has the prompt's word as one token was made for Countdown.
    countdown_ = model.tokenizer.encode("Numbers:").size() == 1;
  }

  void run() {
    const bool terminal = ::isatty(STDIN_FILENO) == 1;
    if (terminal) {
      say("%s  (/again: another try, /quit)\n", model_.files.path.c_str());
      if (countdown_)
        say("This model plays Countdown: give numbers and a target, as in 3 7 8 = 53\n");
    }
    for (std::string line, last;;) {
      if (terminal) say("%s>%s ", Style::bold(), Style::reset());
      if (!std::getline(std::cin, line) || line == "/quit") break;
      if (line == "/again") line = last;
      if (line.empty()) continue;
      last = line;
      try {
        answer(line);
      } catch (const InputError& e) {
        say("%s\n", e.what());
      }
    }
  }

 private:
  static EngineOptions engine_options(const OpenModel& model) {
    EngineOptions options;
    options.max_sequences = 1;
    options.max_context = model.model.max_positions();
    return options;
  }

  void answer(const std::string& line) {
    const auto puzzle = countdown_ ? parse_puzzle(line) : std::nullopt;
    const Problem problem =
        puzzle ? make_countdown_problem(*puzzle) : Problem{line + "\n", "", "", {}};
    Request r;
    r.prompt = model_.tokenizer.encode(problem.prompt);
    const int64_t room = model_.model.max_positions() - static_cast<int64_t>(r.prompt.size());
    r.max_new_tokens = options_.max_new_tokens > 0 ? options_.max_new_tokens : room;
    r.sampling = options_.sampling;
    r.seed = mix_seed(options_.common.seed, turn_++);
    r.stop_ids = model_.model.config().eos_token_ids;
    StreamDecoder decoder(model_.tokenizer, true);
    ThinkStream think;
    engine_.on_token([&](const TokenEvent& e) { print(think.push(decoder.push(e.id))); });
    const int64_t id = engine_.submit(std::move(r));
    while (engine_.step()) {
    }
    print(think.push(decoder.finish()));
    print(think.finish());
    const Completion c = engine_.take(id)[0];
    std::printf("\n");
    std::fflush(stdout);
    std::string verdict;
    if (puzzle) {
      verdict =
          ", " +
          make_task("countdown")->verify(problem, model_.tokenizer.decode(c.ids, true)).reason;
    }
    say("%s[%zu tokens, %s%s]%s\n", Style::dim(), c.ids.size(), finish_reason_name(c.reason),
        verdict.c_str(), Style::reset());
  }

  // Thinking is dimmed; both go to the standard output, which a terminal shows as one stream.
  static void print(const std::vector<ThinkPiece>& pieces) {
    for (const ThinkPiece& p : pieces) {
      const bool dim = p.part == TextPart::kThinking && ::isatty(STDOUT_FILENO) == 1;
      std::printf("%s%s%s", dim ? Style::dim() : "", printable(p.text).c_str(),
                  dim ? Style::reset() : "");
    }
    std::fflush(stdout);
  }

  const Options& options_;
  const OpenModel& model_;
  Engine engine_;
  bool countdown_ = false;
  uint64_t turn_ = 0;
};

}  // namespace

void add_chat(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("chat", "talk to a model in the terminal, its thinking dimmed");
  c->add_option("MODEL", o->model, kModelHelp);
  c->add_option("--max-new-tokens", o->max_new_tokens, "longest answer; 0: what the context holds")
      ->capture_default_str();
  c->add_option("--dtype", o->dtype, "of the weights: f32 or bf16")->capture_default_str();
  add_sampling(*c, o->sampling);
  o->common.add_to(*c);
  c->callback([o] {
    Machine machine(o->common);
    const OpenModel model =
        open_model(o->model, parse_dtype_option(o->dtype), Model::Use::kInference, machine.ops());
    Chat(*o, model, machine.ops()).run();
  });
}

}  // namespace r1
