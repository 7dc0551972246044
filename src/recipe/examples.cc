#include "recipe/examples.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "recipe/row_file.h"
#include "recipe/task_prompts.h"
#include "tasks/task.h"
#include "tasks/verifier.h"

namespace r1 {
namespace {

std::vector<int32_t> with_end(std::vector<int32_t> ids, int32_t eos) {
  if (eos >= 0) ids.push_back(eos);
  return ids;
}

// The group that an example is: its loss on all of the completion, or behind each `learn_behind`.
SequenceGroup group_of(const WorkedExample& example, const Tokenizer& tokenizer, int32_t eos) {
  SequenceGroup group;
  if (!example.prompt.empty()) group.prefix = tokenizer.encode(example.prompt);
  group.branches.push_back(with_end(tokenizer.encode(example.completion), example.ends ? eos : -1));
  if (example.learn_behind.empty()) return group;
  const std::vector<int32_t>& ids = group.branches[0];
  const int32_t behind = tokenizer.encode(example.learn_behind).back();
  group.masks.emplace_back(ids.size(), uint8_t{0});
  for (size_t i = 1; i < ids.size(); ++i) group.masks[0][i] = ids[i - 1] == behind ? 1 : 0;
  return group;
}

Supervised::Examples task_examples(const ExampleOptions& options, const Tokenizer& tokenizer,
                                   int32_t eos, int64_t max_tokens, uint64_t seed) {
  const std::shared_ptr<const Task> task = make_task(options.task, options.knobs);
  return [task, traces = options.traces, &tokenizer, eos, max_tokens, seed](int64_t index) {
    Rng rng(mix_seed(seed, static_cast<uint64_t>(index)));
    SequenceGroup group = group_of(task->worked_example(rng, traces), tokenizer, eos);
    const size_t tokens = group.prefix.size() + group.branches[0].size();
    if (tokens > static_cast<size_t>(max_tokens)) {
      throw InputError("an example of task " + task->name() + " has " + std::to_string(tokens) +
                       " tokens; the model takes " + std::to_string(max_tokens));
    }
    return group;
  };
}

bool is_text(const Json& row, const char* key) {
  return row.contains(key) && row[key].is_string();
}

struct Turn {
  std::vector<int32_t> prompt;
  std::string completion;
};

// A row that is a prompt and its completion, in one of three forms; nothing where it is none.
std::optional<Turn> turn_of(const Json& row, const Tokenizer& tokenizer,
                            const std::optional<ChatFormat>& chat) {
  if (is_text(row, "prompt") && is_text(row, "completion")) {
    return Turn{tokenizer.encode(row["prompt"].get<std::string>(), true), row["completion"]};
  }
  if (is_text(row, "problem") && is_text(row, "completion")) {
    Problem problem;
    problem.question = true;
    problem.prompt = row["problem"].get<std::string>() + make_verifier("math")->instruction();
    return Turn{task_prompts(chat, tokenizer, "")(problem).ids, row["completion"]};
  }
  if (!row.contains("messages")) return {};
  OrderedJson messages = row["messages"];
  const bool answered = messages.is_array() && messages.size() > 1 && messages.back().is_object() &&
                        messages.back().value("role", OrderedJson()) == "assistant" &&
                        messages.back().value("content", OrderedJson()).is_string();
  if (!answered) {
    throw InputError("expected \"messages\" of which the last is an assistant's");
  }
  if (!chat) throw InputError("\"messages\" need a model with a chat template");
  std::string completion = messages.back()["content"];
  messages.erase(messages.size() - 1);
  return Turn{chat->prompt(messages).ids, std::move(completion)};
}

// Rows of the file as groups. A "text" row longer than max_tokens becomes several.
std::vector<SequenceGroup> read_dataset(const std::string& file, const Tokenizer& tokenizer,
                                        const std::optional<ChatFormat>& chat, int32_t eos,
                                        int64_t max_tokens) {
  std::vector<SequenceGroup> groups;
  if (!std::filesystem::exists(file)) throw InputError(file + ": no such file (dataset)");
  for_each_row(file, [&](const Json& row, int64_t line) {
    const std::string where = file + ":" + std::to_string(line);
    std::optional<Turn> turn;
    try {
      turn = turn_of(row, tokenizer, chat);
    } catch (const InputError& e) {
      throw InputError(where + ": " + e.what());
    }
    if (turn) {
      SequenceGroup g;
      g.prefix = std::move(turn->prompt);
      g.branches.push_back(with_end(tokenizer.encode(turn->completion), eos));
      const size_t tokens = g.prefix.size() + g.branches[0].size();
      if (tokens > static_cast<size_t>(max_tokens)) {
        throw InputError(where + ": " + std::to_string(tokens) + " tokens; the model takes " +
                         std::to_string(max_tokens));
      }
      if (tokens < 2 || g.branches[0].empty()) {
        throw InputError(where + ": there is nothing to learn: no token follows another");
      }
      groups.push_back(std::move(g));
      return;
    }
    if (!is_text(row, "text")) {
      throw InputError(where +
                       ": expected strings \"prompt\" (or \"problem\") and \"completion\", or "
                       "\"messages\", or \"text\"");
    }
    const std::vector<int32_t> ids =
        with_end(tokenizer.encode(row["text"].get<std::string>(), true), eos);
    for (size_t begin = 0; begin + 1 < ids.size(); begin += static_cast<size_t>(max_tokens)) {
      const size_t end = std::min(ids.size(), begin + static_cast<size_t>(max_tokens));
      SequenceGroup g;
      g.branches.emplace_back(ids.begin() + static_cast<int64_t>(begin),
                              ids.begin() + static_cast<int64_t>(end));
      if (g.branches[0].size() > 1) groups.push_back(std::move(g));
    }
  });
  if (groups.empty()) throw InputError(file + ": holds no rows to train on");
  return groups;
}

}  // namespace

Supervised::Examples make_examples(const ExampleOptions& options, const Tokenizer& tokenizer,
                                   const std::optional<ChatFormat>& chat, int32_t eos,
                                   int64_t max_tokens, uint64_t seed) {
  if (options.dataset.empty()) return task_examples(options, tokenizer, eos, max_tokens, seed);
  struct Epoch {
    std::vector<SequenceGroup> groups;
    std::vector<size_t> order;
    int64_t number = -1;
  };
  auto data = std::make_shared<Epoch>();
  data->groups = read_dataset(options.dataset, tokenizer, chat, eos, max_tokens);
  data->order.resize(data->groups.size());
  return [data, seed](int64_t index) {
    const int64_t size = static_cast<int64_t>(data->groups.size()), epoch = index / size;
    if (epoch != data->number) {
      std::iota(data->order.begin(), data->order.end(), size_t{0});
      Rng rng(seed, static_cast<uint64_t>(epoch));
      rng.shuffle(data->order);
      data->number = epoch;
    }
    return data->groups[data->order[static_cast<size_t>(index % size)]];
  };
}

}  // namespace r1
