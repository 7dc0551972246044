// r1 chat: talk to a model and watch it think.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

#include "answer_view.h"
#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "base/text_util.h"
#include "console.h"
#include "engine/engine.h"
#include "line_editor.h"
#include "session.h"
#include "tasks/task.h"
#include "text/think.h"
#include "text/unicode.h"

namespace r1 {
namespace {

constexpr const char* kHelp =
    "  /think N      close the thinking after N tokens and ask for the answer; /think off\n"
    "  /fold         thinking as one line that counts its tokens; /unfold\n"
    "  /show         the last answer's thinking\n"
    "  /system TEXT  the system message; begins a new conversation\n"
    "  /again        another try at the last question\n"
    "  /reset        a new conversation\n"
    "  /save FILE    the conversation as JSON Lines\n"
    "  /quit         or Ctrl-D\n"
    "  //TEXT        says /TEXT. Ctrl-C stops an answer.\n";

struct Options {
  CommonOptions common;
  WeightOptions weights;
  SamplingOptions sampling;
  ThinkingBudget thinking;
  std::string model, system;
  int64_t max_new_tokens = 0;
  bool fold = false;
};

// The task whose prompts begin with a token of the model's vocabulary: what it was made for.
std::unique_ptr<Task> task_of(const OpenModel& model) {
  if (model.chat) return nullptr;
  for (const std::string& name : task_names()) {
    auto task = make_task(name);
    const auto hint = task->chat_hint();
    if (hint && model.tokenizer.encode(hint->opening).size() == 1) return task;
  }
  return nullptr;
}

// The longest conversation that the model and the engine's cache hold.
int64_t context_of(const Model& model) {
  const int64_t page = KvCache::page_bytes(model.config(), model.config().num_hidden_layers);
  const int64_t pages = EngineOptions{}.kv_bytes / page;
  return std::min(model.max_positions(), std::max<int64_t>(1, pages - 2) * kPageSize);
}

class Chat {
 public:
  Chat(const Options& o, const OpenModel& model, Ops& ops)
      : options_(o),
        model_(model),
        context_(context_of(model.model)),
        engine_(model.model, ops, engine_options(context_), &model.tokenizer),
        thinking_(o.thinking),
        folded_(o.fold),
        task_(task_of(model)),
        system_(o.system) {
    reset();
  }

  void run() {
    const InterruptGuard guard;
    LineEditor editor("> ");
    if (editor.on_terminal()) greet();
    while (auto line = editor.read()) {
      try {
        if (!act(to_utf8_lossy(*line))) break;
      } catch (const InputError& e) {
        say("%s\n", printable(e.what()).c_str());
      } catch (const JobError& e) {
        say("%s\n", printable(e.what()).c_str());
      }
    }
  }

 private:
  static EngineOptions engine_options(int64_t context) {
    EngineOptions options;
    options.max_sequences = 1;
    options.max_context = context;
    return options;
  }

  void greet() const {
    say("%s  (/help, /again: another try, /quit)\n", model_.files.path.c_str());
    if (task_) {
      say("%s\n", task_->chat_hint()->text.c_str());
    } else if (!model_.chat) {
      say("This model has no chat template: it goes on from each line, and remembers nothing.\n");
    }
  }

  // False to quit.
  bool act(const std::string& line) {
    if (line.empty()) return true;
    if (line.starts_with("//")) return ask(line.substr(1));
    if (!line.starts_with("/")) return ask(line);
    const size_t space = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, space);
    const size_t begin = std::min(line.find_first_not_of(' ', space), line.size());
    return command(name, line.substr(begin));
  }

  bool command(const std::string& name, const std::string& argument) {
    if (name == "/quit" || name == "/exit") return false;
    if (name == "/help") {
      say("%s", kHelp);
    } else if (name == "/think") {
      set_thinking(argument);
    } else if (name == "/fold" || name == "/unfold") {
      folded_ = name == "/fold" && !folded_;
      say("thinking is %s\n", folded_ ? "folded" : "shown");
      if (name == "/unfold") show_thinking();
    } else if (name == "/show") {
      show_thinking();
    } else if (name == "/system") {
      if (!model_.chat) throw InputError("/system: this model has no chat template");
      system_ = argument;
      reset();
    } else if (name == "/reset") {
      reset();
    } else if (name == "/save") {
      save(argument);
    } else if (name == "/again") {
      return again();
    } else {
      const std::vector<std::string> known = {"/quit",   "/help",  "/think", "/fold", "/unfold",
                                              "/system", "/reset", "/save",  "/show", "/again"};
      throw InputError("there is no " + in_quotes(name) + did_you_mean(name, known) +
                       "; see /help, or write //... to say it");
    }
    return true;
  }

  void set_thinking(const std::string& argument) {
    int64_t tokens = -1;
    const char* end = argument.data() + argument.size();
    const auto read = std::from_chars(argument.data(), end, tokens);
    const bool number = read.ec == std::errc{} && read.ptr == end && tokens >= 0;
    if (!number && argument != "off")
      throw InputError("/think: expected a number of tokens, or off");
    thinking_.max_tokens = number ? tokens : -1;
    say("thinking %s\n", number ? ("ends after " + argument + " tokens").c_str() : "has no limit");
  }

  void show_thinking() const {
    say("%s%s%s\n", Style::dim(), printable(last_thinking_).c_str(), Style::reset());
  }

  void reset() {
    messages_ = OrderedJson::array();
    if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  }

  void save(const std::string& file) const {
    if (file.empty()) throw InputError("/save: expected a file's name");
    if (messages_.empty()) throw InputError("/save: nothing was said yet");
    std::string rows;
    for (const OrderedJson& m : messages_) rows += m.dump() + "\n";
    write_file_atomic(file, rows);
    say("%zu messages in %s\n", messages_.size(), file.c_str());
  }

  bool again() {
    if (last_question_.empty()) throw InputError("/again: nothing was asked yet");
    // Without the question that is asked again, and without its answer.
    while (!messages_.empty() && messages_.back()["role"] != "system") {
      const bool question = messages_.back()["role"] == "user";
      messages_.erase(messages_.size() - 1);
      if (question) break;
    }
    return ask(last_question_);
  }

  bool ask(const std::string& text) {
    last_question_ = text;
    if (!model_.chat) {
      continue_line(text);
      return true;
    }
    OrderedJson messages = messages_;
    messages.push_back({{"role", "user"}, {"content", text}});
    const ChatPrompt prompt = model_.chat->prompt(messages);
    const Completion c = answer(prompt);
    std::string said = c.text;
    if (prompt.opens_thinking) said = std::string(kThinkOpen) + "\n" + said;
    // Thinking that was stopped is over all the same: templates look for its end.
    const ThinkSplit split = split_thinking(said);
    if (split.opened && !split.closed) said += ThinkingBudget::kClose;
    messages.push_back({{"role", "assistant"}, {"content", said}});
    messages_ = std::move(messages);
    note(c, "");
    return true;
  }

  // A model without a chat template goes on from the line; one made for a task gets a problem.
  void continue_line(const std::string& line) {
    const auto stated = task_ ? task_->read_problem(line) : std::nullopt;
    const Problem problem = stated ? *stated : Problem{line + "\n", "", "", {}};
    const Completion c =
        answer({model_.tokenizer.encode(problem.prompt), opens_thinking(problem.prompt)});
    messages_.push_back({{"role", "user"}, {"content", line}});  // for /save alone
    messages_.push_back({{"role", "assistant"}, {"content", c.text}});
    note(c, stated ? ", " + task_->verify(problem, c.text).reason : "");
  }

  // Streams the answer to the terminal. Ctrl-C ends it where it is.
  Completion answer(const ChatPrompt& prompt) {
    Request r;
    r.prompt = prompt.ids;
    const int64_t room = context_ - static_cast<int64_t>(r.prompt.size());
    if (room <= 0) {
      throw InputError("the conversation has " + std::to_string(r.prompt.size()) +
                       " tokens and the context " + std::to_string(context_) + "; see /reset");
    }
    r.max_new_tokens = options_.max_new_tokens > 0 ? options_.max_new_tokens : room;
    r.sampling = options_.sampling.over(model_.defaults.sampling);
    r.seed = mix_seed(options_.common.seed, turn_++);
    r.stop_ids = model_.defaults.stop_ids;
    r.thinking = thinking_;
    r.thinking.opened_by_prompt = prompt.opens_thinking;
    AnswerView view(model_.tokenizer, prompt.opens_thinking, folded_);
    InterruptGuard::take();
    const int64_t id =
        engine_.submit(std::move(r), [&](const TokenEvent& e) { view.push(e.id, e.forced); });
    try {
      while (engine_.step()) {
        if (InterruptGuard::take()) engine_.cancel(id);
      }
    } catch (...) {
      engine_.drop(id);
      throw;
    }
    view.finish();
    last_thinking_ = view.thinking();
    return engine_.take(id)[0];
  }

  static void note(const Completion& c, const std::string& verdict) {
    say("%s[%zu tokens, %s%s]%s\n", Style::dim(), c.ids.size(), finish_reason_name(c.reason),
        verdict.c_str(), Style::reset());
  }

  const Options& options_;
  const OpenModel& model_;
  const int64_t context_;
  Engine engine_;
  ThinkingBudget thinking_;
  bool folded_ = false;
  std::unique_ptr<Task> task_;
  std::string system_, last_question_, last_thinking_;
  OrderedJson messages_;  // with the answers' thinking; the template leaves it out
  uint64_t turn_ = 0;
};

}  // namespace

void add_chat(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* c = app.add_subcommand("chat", "talk to a model in the terminal, its thinking dimmed");
  c->footer(
      std::string("Lines that begin with / are commands:\n") + kHelp +
      "The model's own chat template makes the prompt; earlier thinking is left out of it, as\n"
      "DeepSeek-R1 wants it, and nothing you write becomes a special token.");
  c->add_option("MODEL", o->model, kModelHelp);
  c->add_option("--system", o->system, "the system message");
  c->add_flag("--fold", o->fold, "show thinking as one line");
  add_thinking(*c, o->thinking);
  c->add_option("--max-new-tokens", o->max_new_tokens, "longest answer; 0: what the context holds")
      ->capture_default_str();
  o->weights.add_to(*c);
  o->sampling.add_to(*c);
  o->common.add_to(*c);
  c->callback([o] {
    Machine machine(o->common);
    const OpenModel model = open_model(o->model, o->weights, machine.ops());
    Chat(*o, model, machine.ops()).run();
  });
}

}  // namespace r1
