// Procedural tasks: problems without end, and exact verifiers. Strings in, a verdict out; nothing
// here knows of models.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/config.h"
#include "base/json.h"
#include "base/rng.h"

namespace r1 {

// Training and held-out problems never meet: a hash of the problem's key decides.
enum class Split { kTrain, kTest };

struct Problem {
  std::string prompt;  // what the model is given
  std::string answer;  // a reference answer; "" where many are right
  std::string key;     // canonical form of what the split hashes
  Json data;           // the problem's parts, as the verifier reads them
  // To be put to a model in its chat template; otherwise `prompt` is all that it sees.
  bool question = false;
};

// What a verifier says of a completion.
struct Verdict {
  double reward = 0;
  std::string reason;    // "correct", "wrong", "no answer", "several answers", ...
  bool parsed = false;   // whether there was an answer of the right form
  bool correct = false;  // whether it is right, whatever the reward

  static Verdict right() { return {1, "correct", true, true}; }
  static Verdict wrong() { return {0, "wrong", true, false}; }
};

struct Knob {
  std::string name, help;
  int64_t min = 0, max = 0, value = 0;  // value: the default, then what was set
};

// Text to train on.
struct WorkedExample {
  std::string prompt;      // without a loss; "" where there is none
  std::string completion;  // with one
  bool ends = true;        // the end-of-sequence token follows
  // Where it is not empty: the loss is on the token behind each of these in the completion alone,
  // since what stands elsewhere is random.
  std::string learn_behind = {};
};

// An option of how tasks write worked solutions: a key of a recipe's [stage.traces].
struct SolutionOption {
  std::string name, help;
  ConfigLimits limits;
  std::variant<double, int64_t> value;
};

// The options of all tasks, each at its default or as it was set; a task reads its own.
struct SolutionOptions {
  SolutionOptions();
  std::vector<SolutionOption> options;

  template <class V>
  void visit(V& v) {
    for (SolutionOption& o : options) {
      std::visit([&](auto& value) { v(o.name.c_str(), value, o.help.c_str(), o.limits); }, o.value);
    }
  }
  template <class T>
  T get(std::string_view name) const {
    return std::get<T>(find(name).value);
  }

 private:
  const SolutionOption& find(std::string_view name) const;
};

// How well completions keep the form of a task's worked solutions.
struct SkillShare {
  int64_t right = 0, total = 0;
  double value() const {
    return total == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(total);
  }
  void count(bool ok) {
    right += ok ? 1 : 0;
    ++total;
  }
};
using SkillShares = std::vector<std::pair<std::string, SkillShare>>;  // by name
class Skills {
 public:
  virtual ~Skills() = default;
  // InputError if the problem is none of the task's.
  virtual void add(const Problem& problem, std::string_view completion) = 0;
  // The same names in the same order, whatever was added.
  virtual SkillShares shares() const = 0;
};

// How a person puts a problem to a model that was made for the task, in a chat.
struct ChatHint {
  std::string opening;  // of every prompt; a model made for the task has a token for it
  std::string text;     // what to write
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  virtual std::string description() const = 0;  // one line
  virtual std::vector<Knob> knobs() const = 0;

  // A problem of the split. JobError if the knobs leave the split without problems.
  virtual Problem sample(Rng& rng, Split split) const = 0;
  // All problems of the split, where they are few enough to list; empty otherwise.
  virtual std::vector<Problem> all(Split) const { return {}; }
  // The reward of a completion: any text at all may be given.
  virtual Verdict verify(const Problem& problem, std::string_view completion) const = 0;

  // For majority votes: the answer that a completion gives, "" where it gives none; and whether two
  // such answers are the same. By default a number counts by its value, other answers by their text
  // without spaces.
  virtual std::string vote(std::string_view completion) const;
  virtual bool same_vote(const std::string& a, const std::string& b) const { return a == b; }

  // An example to train on: by default a problem of the training split and its answer in <answer>.
  // InputError for a task without written solutions.
  virtual WorkedExample worked_example(Rng& rng, const SolutionOptions& options) const;
  // What a completion's form is measured by; null: nothing.
  virtual std::unique_ptr<Skills> skills() const { return nullptr; }
  // Nothing: a chat does not know the task.
  virtual std::optional<ChatHint> chat_hint() const { return std::nullopt; }
  // The problem that a person's line states, as the hint says; nothing where it states none.
  virtual std::optional<Problem> read_problem(std::string_view) const { return std::nullopt; }
};

// 1 in 6 keys is held out.
Split split_of(std::string_view key);

// The answer that a completion commits to: what stands in its only <answer> span outside of the
// thinking. Otherwise `reason` says why there is none.
struct CommittedAnswer {
  bool found = false;
  std::string_view text;
  std::string reason;
};
CommittedAnswer committed_answer(std::string_view completion);

// Grades a completion whose committed answer must be `answer`: equal as numbers, or else as text
// without the white space at its ends.
Verdict verify_exact(std::string_view answer, std::string_view completion);

// --- the registry ---

std::vector<std::string> task_names();
// InputError names the nearest known task or knob, or the range that a knob's value is out of.
std::unique_ptr<Task> make_task(std::string_view name,
                                const std::map<std::string, int64_t>& knobs = {});

// n problems for an evaluation: all of a small split spread evenly, else distinct samples; the same
// ones for the same seed.
std::vector<Problem> evaluation_problems(const Task& task, Split split, int64_t n, uint64_t seed);

}  // namespace r1
