#include "text/pre_tokenizer.h"

#include <map>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

// GPT-2's words (openai/gpt-2, encoder.py).
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// "Whitespace": \w+|[^\w\s]+ of Rust's regex, whose \w has the two joiners too.
constexpr std::string_view kWhitespacePattern = R"([\w\x{200C}\x{200D}]+|[^\w\s\x{200C}\x{200D}]+)";

// Matches are single characters with a property.
void cut_chars(std::string_view text, bool (*property)(char32_t), std::vector<RegexPiece>& out) {
  out.clear();
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = utf8_step(text.substr(i));
    if (property(step.code_point)) {
      if (done < i) out.push_back({done, i, false});
      out.push_back({i, i + step.size, true});
      done = i + step.size;
    }
    i += step.size;
  }
  if (done < text.size()) out.push_back({done, text.size(), false});
}

// Cuts before every `mark` that is not at the front.
void cut_before(std::string_view mark, size_t begin, std::string_view text,
                std::vector<Words::Range>& out) {
  size_t from = 0;
  for (size_t at = text.find(mark, 1); at != std::string_view::npos; at = text.find(mark, at + 1)) {
    out.push_back({begin + from, begin + at});
    from = at;
  }
  if (from < text.size()) out.push_back({begin + from, begin + text.size()});
}

}  // namespace

PreTokenizer PreTokenizer::parse(const JsonNode& node) {
  PreTokenizer out;
  out.append(node);
  out.raw_bytes_ = !out.steps_.empty() && out.steps_.back().kind == Kind::kByteLevel;
  return out;
}

PreTokenizer::Behavior PreTokenizer::parse_behavior(const JsonNode& node) {
  static const std::map<std::string_view, Behavior> kBehaviors = {
      {"Isolated", Behavior::kIsolated},
      {"Removed", Behavior::kRemoved},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious},
      {"MergedWithNext", Behavior::kMergedWithNext},
      {"Contiguous", Behavior::kContiguous}};
  const auto it = kBehaviors.find(node.string());
  if (it == kBehaviors.end()) node.fail("unknown behavior " + in_quotes(node.string()));
  return it->second;
}

PreTokenizer::Step PreTokenizer::parse_metaspace(const JsonNode& node) {
  Step step{Kind::kMetaspace};
  step.replacement = node.string("replacement");
  if (step.replacement.empty() || utf8_step(step.replacement).size != step.replacement.size()) {
    node.at("replacement").fail("expected one character, came " + in_quotes(step.replacement));
  }
  const auto scheme = node.find("prepend_scheme");
  const std::string_view name = scheme ? scheme->string() : "always";
  if (name != "always" && name != "first" && name != "never") {
    scheme->fail("expected always, first or never, came " + in_quotes(name));
  }
  step.prepend = name == "always"  ? Prepend::kAlways
                 : name == "first" ? Prepend::kFirst
                                   : Prepend::kNever;
  if (!node.boolean("add_prefix_space", true)) step.prepend = Prepend::kNever;
  step.split = node.boolean("split", true);
  return step;
}

void PreTokenizer::append(const JsonNode& node) {
  const std::string_view type = node.string("type");
  Step step{Kind::kSplit};
  if (type == "Sequence") {
    for (const JsonNode& item : node.at("pretokenizers").items()) append(item);
    return;
  }
  if (type == "ByteLevel") {
    step.kind = Kind::kByteLevel;
    step.add_prefix_space = node.at("add_prefix_space").boolean();
    if (node.boolean("use_regex", true)) step.pattern = Regex::compile(kGpt2Pattern, node.where());
  } else if (type == "Split") {
    step.pattern = Regex::parse(node.at("pattern"));
    step.behavior = parse_behavior(node.at("behavior"));
    step.invert = node.at("invert").boolean();
  } else if (type == "Digits") {
    step.kind = Kind::kDigits;
    const bool each = node.at("individual_digits").boolean();
    step.behavior = each ? Behavior::kIsolated : Behavior::kContiguous;
  } else if (type == "Metaspace") {
    step = parse_metaspace(node);
  } else if (type == "Whitespace") {
    step.pattern = Regex::compile(kWhitespacePattern, node.where());
    step.behavior = Behavior::kRemoved;
    step.invert = true;
  } else if (type == "WhitespaceSplit") {
    step.kind = Kind::kWhitespaceSplit;
    step.behavior = Behavior::kRemoved;
  } else if (type == "Punctuation") {
    step.kind = Kind::kPunctuation;
    if (const auto behavior = node.find("behavior")) step.behavior = parse_behavior(*behavior);
  } else {
    node.fail("unknown pre_tokenizer " + in_quotes(type));
  }
  steps_.push_back(std::move(step));
}

void PreTokenizer::apply(Words& words, bool at_start) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.kind == Kind::kByteLevel) {
      byte_level(step, words, i + 1 == steps_.size());
    } else if (step.kind == Kind::kMetaspace) {
      metaspace(step, words, at_start);
    } else {
      split(step, words);
    }
  }
}

void PreTokenizer::byte_level(const Step& step, Words& words, bool last) const {
  if (step.add_prefix_space) {
    std::string text;
    std::vector<Words::Range> ranges;
    for (size_t i = 0; i < words.size(); ++i) {
      const size_t begin = text.size();
      if (!words[i].starts_with(' ')) text += ' ';
      text += words[i];
      ranges.push_back({begin, text.size()});
    }
    words.rewrite(std::move(text), std::move(ranges));
  }
  if (step.pattern) split(step, words);
  if (last) return;  // raw_bytes()
  std::string text;
  std::vector<Words::Range> ranges;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t begin = text.size();
    text += to_byte_level(words[i]);
    ranges.push_back({begin, text.size()});
  }
  words.rewrite(std::move(text), std::move(ranges));
}

void PreTokenizer::metaspace(const Step& step, Words& words, bool at_start) {
  std::string text;
  std::vector<Words::Range> ranges;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t begin = text.size();
    const bool wanted =
        step.prepend == Prepend::kAlways || (step.prepend == Prepend::kFirst && at_start && i == 0);
    if (wanted && !words[i].starts_with(' ') && !words[i].starts_with(step.replacement)) {
      text += step.replacement;
    }
    for (const char c : words[i]) {
      if (c == ' ') {
        text += step.replacement;
      } else {
        text += c;
      }
    }
    if (step.split) {
      cut_before(step.replacement, begin, std::string_view(text).substr(begin), ranges);
    } else {
      ranges.push_back({begin, text.size()});
    }
  }
  words.rewrite(std::move(text), std::move(ranges));
}

void PreTokenizer::split(const Step& step, Words& words) {
  std::optional<RegexMatcher> matcher;
  if (step.pattern) matcher.emplace(*step.pattern);
  std::vector<RegexPiece> pieces;
  std::vector<Words::Range> out;
  out.reserve(words.size());
  for (size_t i = 0; i < words.size(); ++i) {
    if (matcher) {
      matcher->cut(words[i], pieces);
    } else {
      cut_chars(words[i],
                step.kind == Kind::kDigits        ? is_numeric
                : step.kind == Kind::kPunctuation ? is_punctuation
                                                  : is_white_space,
                pieces);
    }
    if (step.invert) {
      for (RegexPiece& piece : pieces) piece.is_match = !piece.is_match;
    }
    emit(pieces, step.behavior, words.ranges()[i].begin, out);
  }
  words.set_ranges(std::move(out));
}

void PreTokenizer::emit(const std::vector<RegexPiece>& pieces, Behavior behavior, size_t base,
                        std::vector<Words::Range>& out) {
  auto push = [&](size_t begin, size_t end) {
    if (begin < end) out.push_back({base + begin, base + end});
  };
  size_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const RegexPiece& piece = pieces[i];
    const bool last = i + 1 == pieces.size();
    bool joins_next = false;  // this piece and the next are one word
    switch (behavior) {
      case Behavior::kIsolated:
        break;
      case Behavior::kRemoved:
        if (piece.is_match) begin = piece.end;
        break;
      case Behavior::kContiguous:
        joins_next = !last && piece.is_match == pieces[i + 1].is_match;
        break;
      case Behavior::kMergedWithPrevious:
        joins_next = !last && !piece.is_match && pieces[i + 1].is_match;
        break;
      case Behavior::kMergedWithNext:
        joins_next = !last && piece.is_match && !pieces[i + 1].is_match;
        break;
    }
    if (joins_next) continue;
    push(begin, piece.end);
    begin = piece.end;
  }
}

}  // namespace r1
