// The `normalizer` of tokenizer.json: text to text, before any splitting.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace r1 {

class JsonNode;

// A sequence of steps, immutable after parsing. Types: NFC, NFD, NFKC, NFKD, Lowercase, Strip,
// Prepend, Replace, ByteLevel, Sequence.
class Normalizer {
 public:
  Normalizer() = default;  // changes nothing
  // InputError names an unknown type or a wrong field.
  static Normalizer parse(const JsonNode& node);

  bool empty() const { return steps_.empty(); }
  // Valid UTF-8 in and out.
  std::string apply(std::string_view text) const;

 private:
  enum class Kind { kNfc, kNfd, kNfkc, kNfkd, kLowercase, kStrip, kPrepend, kReplace, kByteLevel };
  struct Step {
    Kind kind;
    std::string content = {};  // Prepend, Replace
    std::optional<Regex> pattern = {};
    bool left = false, right = false;  // Strip
  };

  void append(const JsonNode& node);
  static std::string apply(const Step& step, std::string text);

  std::vector<Step> steps_;
};

}  // namespace r1
