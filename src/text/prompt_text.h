// A prompt of which some parts are data: text that never becomes special tokens, whatever it says.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace r1 {

struct PromptText {
  struct Range {
    size_t begin, end;  // bytes
    bool operator==(const Range&) const = default;
  };
  std::string text;         // UTF-8
  std::vector<Range> data;  // in order, not empty, apart from each other
};

}  // namespace r1
