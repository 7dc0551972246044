// The parts of a reasoning model's completion: <think> thinking </think> answer, and the
// <answer> spans within it (DeepSeek-R1, section 2.2.3, Table 1: the template of R1-Zero).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace r1 {

inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";
inline constexpr std::string_view kAnswerOpen = "<answer>";
inline constexpr std::string_view kAnswerClose = "</answer>";

// A completion thinks once: from the first <think> to the first </think> after it. Any later tag
// is plain text of the answer. The tags belong to no part.
struct ThinkSplit {
  std::string_view preamble;  // before <think>; mostly white space. Empty where nothing opened
  std::string_view thinking;
  std::string_view answer;  // after </think>; all of the text where nothing opened
  bool opened = false;
  bool closed = false;  // false with `opened`: the thinking ran to the end
};

// Views into `completion`. opened_by_prompt: the prompt ended in <think>, so the text begins
// inside (a <think> that it repeats is then part of the thinking).
ThinkSplit split_thinking(std::string_view completion, bool opened_by_prompt = false);

// Whether a prompt leaves the model inside its thinking: it ends in <think>, but for white space.
bool opens_thinking(std::string_view prompt);

enum class TextPart { kAnswer, kThinking };

struct ThinkPiece {
  TextPart part;
  std::string text;  // never empty
};

// The same while the text arrives. Put together, the kThinking pieces are ThinkSplit's thinking,
// the kAnswer pieces its preamble and answer. What could be the beginning of a tag is held back.
class ThinkStream {
 public:
  explicit ThinkStream(bool opened_by_prompt = false)
      : state_(opened_by_prompt ? State::kThinking : State::kBefore) {}

  // In the order of the text; neighbours are of different parts.
  std::vector<ThinkPiece> push(std::string_view text);
  // What was held back. Nothing may be pushed after it.
  std::vector<ThinkPiece> finish();

  // The part that the next character belongs to, unless it completes a tag.
  TextPart part() const {
    return state_ == State::kThinking ? TextPart::kThinking : TextPart::kAnswer;
  }

 private:
  enum class State { kBefore, kThinking, kAfter };

  State state_;
  std::string held_;
};

// The <answer> spans of a completion, for verifiers: exactly one in `outside`, and neither
// `inside_thinking` nor `malformed`, is what an honest completion has.
struct AnswerSpans {
  std::vector<std::string_view> outside;  // contents of spans outside of thinking, in order
  int inside_thinking = 0;                // <answer> tags within <think>
  // Outside of thinking: a span that does not close, a tag inside a span, a closing tag that
  // nothing opened.
  bool malformed = false;
};

// Views into `completion`. Stricter than split_thinking: every <think> opens thinking again, so
// that no answer hides in a second block; thinking that never closes swallows the rest.
AnswerSpans find_answers(std::string_view completion, bool opened_by_prompt = false);

}  // namespace r1
