// A task's difficulty knobs: declared with ranges and defaults, set by name.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/task.h"

namespace r1 {

class KnobValues {
 public:
  // InputError if a value's name is unknown or it is out of its knob's range.
  KnobValues(std::vector<Knob> knobs, const std::map<std::string, int64_t>& values,
             std::string_view task);

  int64_t operator[](std::string_view name) const;
  const std::vector<Knob>& list() const { return knobs_; }

 private:
  std::vector<Knob> knobs_;
};

}  // namespace r1
