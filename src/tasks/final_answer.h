// The final answer of a completion: what it commits to, outside of its thinking.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace r1 {

struct FinalAnswer {
  enum class Kind {
    kNone,
    kMarked,  // in <answer> or \boxed, after #### or "the answer is"
    kLine,    // the completion is one line and nothing else
  };
  Kind kind = Kind::kNone;
  std::string_view text;    // a view into the completion, trimmed; not empty unless kNone
  std::string_view number;  // the last number outside of the thinking, where nothing was marked
  std::string reason;       // of kNone: "no answer", "thinking does not end", "empty answer", ...
};

// What follows the thinking; nothing where it does not end. Every <think> opens it again, so that
// no answer hides in a second block; a closing tag before any opening one closes what the prompt
// opened.
std::optional<std::string_view> after_thinking(std::string_view completion);

// In this order: the only <answer> span (in it the last \boxed, if any), the last \boxed or \fbox,
// the last of "####", "the answer is", "answer:" and a line's "A:" up to the end of its line, the
// whole of a completion of one line. Linear in the completion's length.
FinalAnswer final_answer(std::string_view completion);

}  // namespace r1
