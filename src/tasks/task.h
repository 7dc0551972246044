// Procedural tasks: problems without end, and exact verifiers. Strings in, a verdict out; nothing
// here knows of models.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

// Why a completion got its reward.
struct Verdict {
  double reward = 0;
  std::string reason;   // "correct", "wrong", "no answer", "several answers", ...
  bool parsed = false;  // whether there was an answer of the right form

  bool correct() const { return reward >= 1.0; }
};

struct Knob {
  std::string name, help;
  int64_t min = 0, max = 0, value = 0;  // value: the default, then what was set
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
