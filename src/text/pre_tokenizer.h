// The `pre_tokenizer` of tokenizer.json: cuts normalized text into the words that BPE works on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"

namespace r1 {

class JsonNode;

// Words of a text: byte ranges of `text()`. The text is the caller's until a step rewrites it.
class Words {
 public:
  struct Range {
    size_t begin, end;
  };

  // Valid UTF-8 that must outlive this; not empty.
  explicit Words(std::string_view text) : view_(text), ranges_{{0, text.size()}} {}
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;

  std::string_view text() const { return view_; }
  const std::vector<Range>& ranges() const { return ranges_; }
  std::string_view operator[](size_t i) const {
    return view_.substr(ranges_[i].begin, ranges_[i].end - ranges_[i].begin);
  }
  size_t size() const { return ranges_.size(); }

  // Cuts further within the same text.
  void set_ranges(std::vector<Range> ranges) { ranges_ = std::move(ranges); }
  // New text and its words. Empty words must have been left out.
  void rewrite(std::string text, std::vector<Range> ranges) {
    owned_ = std::move(text);
    view_ = owned_;
    ranges_ = std::move(ranges);
  }

 private:
  std::string owned_;
  std::string_view view_;
  std::vector<Range> ranges_;
};

// A sequence of steps, immutable after parsing. Types: ByteLevel, Split, Digits, Metaspace,
// Whitespace, WhitespaceSplit, Punctuation, Sequence.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // the whole text is one word
  // InputError names an unknown type or a wrong field.
  static PreTokenizer parse(const JsonNode& node);

  // Whether words come out as raw bytes, to be read in the byte alphabet: a final ByteLevel step
  // is left to BPE, which does it without a copy.
  bool raw_bytes() const { return raw_bytes_; }

  // at_start: the text begins where the whole input begins (Metaspace's "first").
  void apply(Words& words, bool at_start) const;

 private:
  enum class Kind { kByteLevel, kSplit, kDigits, kMetaspace, kWhitespaceSplit, kPunctuation };
  // What becomes of a match when a text is cut at matches.
  enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend { kNever, kFirst, kAlways };
  struct Step {
    Kind kind;
    Behavior behavior = Behavior::kIsolated;
    std::optional<Regex> pattern = {};  // Split; ByteLevel with use_regex
    bool invert = false;
    bool add_prefix_space = false;  // ByteLevel
    std::string replacement = {};   // Metaspace
    Prepend prepend = Prepend::kNever;
    bool split = true;
  };

  void append(const JsonNode& node);
  static Step parse_metaspace(const JsonNode& node);
  static Behavior parse_behavior(const JsonNode& node);

  void byte_level(const Step& step, Words& words, bool last) const;
  static void metaspace(const Step& step, Words& words, bool at_start);
  static void split(const Step& step, Words& words);
  static void emit(const std::vector<RegexPiece>& pieces, Behavior behavior, size_t base,
                   std::vector<Words::Range>& out);

  std::vector<Step> steps_;
  bool raw_bytes_ = false;
};

}  // namespace r1
