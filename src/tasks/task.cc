#include "tasks/task.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/text_util.h"
#include "tasks/builtin.h"
#include "tasks/countdown.h"
#include "tasks/countdown_traces.h"
#include "tasks/knobs.h"
#include "tasks/rational.h"
#include "text/think.h"

namespace r1 {
namespace {

struct Row {
  const char* name;
  std::unique_ptr<Task> (*make)(const std::map<std::string, int64_t>& knobs);
  std::vector<SolutionOption> (*options)() = nullptr;  // of its worked solutions
};

constexpr Row kTasks[] = {
    {"countdown", make_countdown, countdown_solution_options},
    {"chain-arithmetic", make_chain_arithmetic},
    {"multiplication", make_multiplication},
    {"number-sequence", make_number_sequence},
    {"knights-knaves", make_knights_knaves},
    {"sudoku4", make_sudoku4},
    {"sorting", make_sorting},
    {"linear-equation", make_linear_equation},
};

}  // namespace

Split split_of(std::string_view key) {
  const uint64_t hash = xxh3(std::as_bytes(std::span(key.data(), key.size())));
  return hash % 6 == 0 ? Split::kTest : Split::kTrain;
}

CommittedAnswer committed_answer(std::string_view completion) {
  // A closing tag before any opening one: the prompt ended in <think>, as R1's chat template does.
  const bool opened_by_prompt = completion.find(kThinkClose) < completion.find(kThinkOpen);
  const AnswerSpans spans = find_answers(completion, opened_by_prompt);
  if (spans.malformed) return {false, {}, "malformed answer"};
  if (spans.outside.size() > 1) return {false, {}, "several answers"};
  if (spans.outside.empty()) {
    return {false, {}, spans.inside_thinking > 0 ? "answer inside thinking" : "no answer"};
  }
  return {true, spans.outside[0], ""};
}

Verdict verify_exact(std::string_view answer, std::string_view completion) {
  const CommittedAnswer given = committed_answer(completion);
  if (!given.found) return {0, given.reason, false};
  const std::string_view text = trim(given.text);
  if (text.empty()) return {0, "empty answer", false};
  const auto expected = parse_number(answer), number = parse_number(text);
  if (expected && !number) return {0, "unparseable", false};
  const bool right = expected ? *number == *expected : text == trim(answer);
  return right ? Verdict::right() : Verdict::wrong();
}

std::string Task::vote(std::string_view completion) const {
  const CommittedAnswer answer = committed_answer(completion);
  if (!answer.found) return "";
  if (const auto number = parse_number(answer.text)) return number->text();
  std::string text(answer.text);
  std::erase_if(text, [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; });
  return text;
}

WorkedExample Task::worked_example(Rng& rng, const SolutionOptions&) const {
  const Problem problem = sample(rng, Split::kTrain);
  if (problem.answer.empty()) {
    throw InputError("task " + name() +
                     " has no written solutions to train on: give the stage a dataset");
  }
  return {problem.prompt, std::string(kAnswerOpen) + problem.answer + std::string(kAnswerClose)};
}

SolutionOptions::SolutionOptions() {
  for (const Row& row : kTasks) {
    if (row.options == nullptr) continue;
    for (SolutionOption& option : row.options()) options.push_back(std::move(option));
  }
}

const SolutionOption& SolutionOptions::find(std::string_view name) const {
  const auto found = std::ranges::find(options, name, &SolutionOption::name);
  R1_CHECK(found != options.end());
  return *found;
}

KnobValues::KnobValues(std::vector<Knob> knobs, const std::map<std::string, int64_t>& values,
                       std::string_view task)
    : knobs_(std::move(knobs)) {
  std::vector<std::string> names;
  for (const Knob& k : knobs_) names.push_back(k.name);
  for (const auto& [name, value] : values) {
    const auto it = std::find_if(knobs_.begin(), knobs_.end(),
                                 [&, n = name](const Knob& k) { return k.name == n; });
    if (it == knobs_.end()) {
      throw InputError("task " + std::string(task) + " has no knob '" + name + "'" +
                       did_you_mean(name, names));
    }
    if (value < it->min || value > it->max) {
      throw InputError("task " + std::string(task) + ": knob '" + name + "' must be from " +
                       std::to_string(it->min) + " to " + std::to_string(it->max) + ", not " +
                       std::to_string(value));
    }
    it->value = value;
  }
}

int64_t KnobValues::operator[](std::string_view name) const {
  for (const Knob& k : knobs_) {
    if (k.name == name) return k.value;
  }
  R1_CHECK(false && "a knob that the task declared");
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const Row& row : kTasks) names.emplace_back(row.name);
  return names;
}

std::unique_ptr<Task> make_task(std::string_view name,
                                const std::map<std::string, int64_t>& knobs) {
  for (const Row& row : kTasks) {
    if (name == row.name) return row.make(knobs);
  }
  throw InputError("no task is called '" + std::string(name) + "'" +
                   did_you_mean(name, task_names()) + "; see r1 task list");
}

std::vector<Problem> evaluation_problems(const Task& task, Split split, int64_t n, uint64_t seed) {
  std::vector<Problem> all = task.all(split), chosen;
  Rng rng(seed, 0xE7A1);
  if (!all.empty()) {
    const int64_t count = std::min(n, static_cast<int64_t>(all.size()));
    rng.shuffle(all);
    all.resize(static_cast<size_t>(count));
    return all;
  }
  std::set<std::string> seen;
  for (int64_t tries = 0; static_cast<int64_t>(chosen.size()) < n && tries < 50 * n; ++tries) {
    Problem p = task.sample(rng, split);
    if (seen.insert(p.prompt).second) chosen.push_back(std::move(p));
  }
  return chosen;
}

}  // namespace r1
