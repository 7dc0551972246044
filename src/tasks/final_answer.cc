#include "tasks/final_answer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "tasks/rational.h"
#include "tasks/task.h"
#include "text/think.h"

namespace r1 {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The content of braces that open at text[open]; nothing where they do not close.
std::optional<std::string_view> braced(std::string_view text, size_t open) {
  int level = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++level;
    } else if (text[i] == '}' && --level == 0) {
      return text.substr(open + 1, i - open - 1);
    }
  }
  return {};
}

struct Box {
  bool found = false;
  std::optional<std::string_view> content;  // nothing: it does not close
};

Box last_box(std::string_view text) {
  constexpr std::string_view kBoxes[] = {"\\boxed", "\\fbox", "\\framebox"};
  size_t at = text.npos, end = 0;
  for (const std::string_view box : kBoxes) {
    const size_t found = text.rfind(box);
    if (found == text.npos || (at != text.npos && found < at)) continue;
    at = found;
    end = found + box.size();
  }
  if (at == text.npos) return {};
  while (end < text.size() && text[end] == ' ') ++end;
  if (end < text.size() && text[end] == '{') return {true, braced(text, end)};
  // \boxed 3
  const size_t stop = std::min(text.find_first_of(" $\n\\", end), text.size());
  return {true, text.substr(end, stop - end)};
}

std::string_view trim_answer(std::string_view text) {
  text = trim(text);
  while (text.starts_with("*") || text.starts_with(":")) text = trim(text.substr(1));
  while (text.ends_with("*") || text.ends_with(".")) text = trim(text.substr(0, text.size() - 1));
  return text;
}

bool matches_at(std::string_view text, size_t at, std::string_view phrase) {
  return text.size() - at >= phrase.size() &&
         std::equal(phrase.begin(), phrase.end(), text.begin() + static_cast<int64_t>(at),
                    [](char a, char b) { return a == lower(b); });
}

// What follows the last phrase that announces an answer, up to the end of its line.
std::optional<std::string_view> announced(std::string_view text) {
  constexpr std::array<std::string_view, 4> kPhrases = {"answer is",
                                                        "answer:", "answer**:", "####"};
  size_t begin = text.npos;
  for (size_t i = text.size(); i-- > 0 && begin == text.npos;) {
    if (text[i] != '#' && lower(text[i]) != 'a') continue;
    for (const std::string_view phrase : kPhrases) {
      if (matches_at(text, i, phrase)) begin = i + phrase.size();
    }
    const bool line = i == 0 || text[i - 1] == '\n';
    if (line && matches_at(text, i, "a:")) begin = i + 2;
  }
  if (begin == text.npos) return {};
  std::string_view rest = text.substr(begin);
  // The answer may stand on the next line.
  const size_t first = rest.find_first_not_of(" \t\r\n*:");
  if (first == rest.npos) return std::string_view{};
  rest.remove_prefix(first);
  return rest.substr(0, rest.find('\n'));
}

std::string_view last_number(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  if (end == 0) return {};
  size_t begin = end;
  while (begin > 0 && (is_digit(text[begin - 1]) || text[begin - 1] == '.' ||
                       text[begin - 1] == ',' || text[begin - 1] == '/')) {
    --begin;
  }
  while (!is_digit(text[begin]) && text[begin] != '.') ++begin;
  // A sign, unless it is a minus between two numbers: 5-3.
  const bool sign =
      begin > 0 && text[begin - 1] == '-' && (begin == 1 || !is_digit(text[begin - 2]));
  return text.substr(begin - (sign ? 1 : 0), end - begin + (sign ? 1 : 0));
}

FinalAnswer marked(std::string_view text) {
  text = trim_answer(text);
  if (text.empty()) return {FinalAnswer::Kind::kNone, {}, {}, "empty answer"};
  return {FinalAnswer::Kind::kMarked, text, {}, ""};
}

FinalAnswer none(std::string reason) {
  return {FinalAnswer::Kind::kNone, {}, {}, std::move(reason)};
}

}  // namespace

std::optional<std::string_view> after_thinking(std::string_view completion) {
  // A closing tag before any opening one: the prompt ended in <think>.
  bool opened = completion.find(kThinkClose) < completion.find(kThinkOpen);
  while (true) {
    const ThinkSplit split = split_thinking(completion, opened);
    if (!split.opened) return completion;
    if (!split.closed) return {};
    completion = split.answer;
    opened = false;
    if (completion.find(kThinkOpen) == completion.npos) return completion;
  }
}

FinalAnswer final_answer(std::string_view completion) {
  const auto text = after_thinking(completion);
  if (!text) return none("thinking does not end");
  std::string_view answer = *text;
  const bool tagged = answer.find(kAnswerOpen) != answer.npos;
  if (tagged) {
    const CommittedAnswer committed = committed_answer(answer);
    if (!committed.found) return none(committed.reason);
    answer = committed.text;
  }
  if (const Box box = last_box(answer); box.found) {
    return box.content ? marked(*box.content) : none("malformed answer");
  }
  if (tagged) return marked(answer);
  if (const auto after = announced(answer)) {
    FinalAnswer out = marked(*after);
    out.number = last_number(*after);
    return out;
  }
  answer = trim_answer(answer);
  if (answer.empty()) return none("no answer");
  FinalAnswer out{FinalAnswer::Kind::kNone, {}, last_number(answer), "no answer"};
  if (answer.find('\n') == answer.npos) {
    out.kind = FinalAnswer::Kind::kLine;
    out.text = answer;
  }
  return out;
}

}  // namespace r1
