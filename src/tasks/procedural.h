// What the built-in tasks have in common: a name, knobs, and problems that are drawn until one is
// of the split. A task says how a problem is made and, unless its answer is a number, how it is
// graded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tasks/answer.h"
#include "tasks/knobs.h"

namespace r1 {

class ProceduralTask : public Task {
 public:
  std::string name() const final { return name_; }
  std::string description() const final { return description_; }
  std::vector<Knob> knobs() const final { return knobs_.list(); }
  Problem sample(Rng& rng, Split split) const final;

 protected:
  // InputError as of KnobValues. Both texts are literals.
  ProceduralTask(const char* name, const char* description, std::vector<Knob> knobs,
                 const std::map<std::string, int64_t>& values)
      : name_(name), description_(description), knobs_(std::move(knobs), values, name) {}

  int64_t knob(std::string_view name) const { return knobs_[name]; }

 private:
  // Nothing where it met a dead end. A problem of another split than `wanted` is thrown away.
  virtual std::optional<Problem> make(Rng& rng, Split wanted) const = 0;

  const char* name_;
  const char* description_;
  KnobValues knobs_;
};

// The answer is one number, in Problem::data as 'answer'.
class NumberTask : public ProceduralTask {
 public:
  Verdict verify(const Problem& problem, std::string_view completion) const final {
    return verify_number(name(), problem, completion);
  }

 protected:
  using ProceduralTask::ProceduralTask;
};

}  // namespace r1
