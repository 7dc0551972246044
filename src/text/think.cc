#include "text/think.h"

#include <algorithm>
#include <array>

namespace r1 {
namespace {

// The longest end of `text` that begins `tag` without completing it.
size_t partial_tag(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

struct TagAt {
  size_t begin, end;
  std::string_view tag;  // empty: there is none
};

TagAt next_tag(std::string_view text, size_t from) {
  constexpr std::array kTags = {kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose};
  for (size_t at = text.find('<', from); at != text.npos; at = text.find('<', at + 1)) {
    for (const std::string_view tag : kTags) {
      if (text.substr(at).starts_with(tag)) return {at, at + tag.size(), tag};
    }
  }
  return {text.size(), text.size(), {}};
}

}  // namespace

ThinkSplit split_thinking(std::string_view completion, bool opened_by_prompt) {
  ThinkSplit out;
  std::string_view rest = completion;
  out.opened = opened_by_prompt;
  if (!opened_by_prompt) {
    const size_t open = completion.find(kThinkOpen);
    if (open == completion.npos) {
      out.answer = completion;
      return out;
    }
    out.opened = true;
    out.preamble = completion.substr(0, open);
    rest = completion.substr(open + kThinkOpen.size());
  }
  const size_t close = rest.find(kThinkClose);
  out.closed = close != rest.npos;
  out.thinking = rest.substr(0, close);
  out.answer = rest.substr(out.closed ? close + kThinkClose.size() : rest.size());
  return out;
}

bool opens_thinking(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(" \t\r\n");
  return last != prompt.npos && prompt.substr(0, last + 1).ends_with(kThinkOpen);
}

std::vector<ThinkPiece> ThinkStream::push(std::string_view text) {
  std::vector<ThinkPiece> out;
  auto emit = [&](std::string_view piece) {
    if (!piece.empty()) out.push_back({part(), std::string(piece)});
  };
  const std::string joined = held_.append(text);
  held_.clear();
  std::string_view rest = joined;
  while (state_ != State::kAfter) {
    const std::string_view tag = state_ == State::kBefore ? kThinkOpen : kThinkClose;
    const size_t at = rest.find(tag);
    if (at == rest.npos) {
      const size_t held = partial_tag(rest, tag);
      emit(rest.substr(0, rest.size() - held));
      held_ = rest.substr(rest.size() - held);
      return out;
    }
    emit(rest.substr(0, at));
    rest.remove_prefix(at + tag.size());
    state_ = state_ == State::kBefore ? State::kThinking : State::kAfter;
  }
  emit(rest);
  return out;
}

std::vector<ThinkPiece> ThinkStream::finish() {
  std::vector<ThinkPiece> out;
  if (!held_.empty()) out.push_back({part(), std::move(held_)});
  held_.clear();
  return out;
}

AnswerSpans find_answers(std::string_view completion, bool opened_by_prompt) {
  AnswerSpans out;
  bool thinking = opened_by_prompt, in_span = false;
  size_t span_begin = 0;
  for (TagAt at = next_tag(completion, 0); !at.tag.empty(); at = next_tag(completion, at.end)) {
    if (thinking) {
      if (at.tag == kThinkClose) thinking = false;
      if (at.tag == kAnswerOpen) ++out.inside_thinking;
    } else if (in_span) {
      if (at.tag == kAnswerClose) {
        out.outside.push_back(completion.substr(span_begin, at.begin - span_begin));
        in_span = false;
      } else {
        out.malformed = true;
      }
    } else if (at.tag == kThinkOpen) {
      thinking = true;
    } else if (at.tag == kAnswerOpen) {
      in_span = true;
      span_begin = at.end;
    } else {
      out.malformed = true;
    }
  }
  out.malformed = out.malformed || in_span;
  return out;
}

}  // namespace r1
