#include "tasks/answer.h"

#include <limits>

#include "tasks/expression.h"

namespace r1 {
namespace {

bool is_variable(std::string_view text) {
  return text.size() == 1 &&
         ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z'));
}

std::optional<Rational> right_number(const Json& data) {
  if (!data.is_object() || !data.contains("answer")) return std::nullopt;
  const Json& answer = data["answer"];
  if (answer.is_string()) return parse_number(answer.get_ref<const std::string&>());
  if (const auto integer = json_integer(answer)) return Rational(*integer);
  return std::nullopt;
}

}  // namespace

Verdict grade(std::string_view completion,
              const std::function<std::optional<bool>(std::string_view)>& check) {
  const CommittedAnswer answer = committed_answer(completion);
  if (!answer.found) return {0, answer.reason, false};
  const std::string_view text = trim(answer.text);
  if (text.empty()) return {0, "empty answer", false};
  if (text.size() > kMaxAnswerBytes) return {0, "unparseable", false};
  const std::optional<bool> right = check(text);
  if (!right) return {0, "unparseable", false};
  return *right ? Verdict::right() : Verdict::wrong();
}

std::optional<Rational> stated_number(std::string_view answer) {
  const size_t last = answer.rfind('=');
  const auto number = parse_number(last == answer.npos ? answer : answer.substr(last + 1));
  if (!number || last == answer.npos) return number;
  std::string_view left = answer.substr(0, last);
  for (bool first = true;; first = false) {
    const size_t equals = left.find('=');
    const std::string_view side = trim(left.substr(0, equals));
    if (!first || !is_variable(side)) {
      const auto expression = parse_expression(side);
      if (!expression || !expression->value) return std::nullopt;
      if (!(*expression->value == *number)) return std::nullopt;
    }
    if (equals == left.npos) return number;
    left.remove_prefix(equals + 1);
  }
}

Verdict verify_number(std::string_view task, const Problem& problem, std::string_view completion) {
  const auto right = right_number(problem.data);
  if (!right) {
    throw InputError("a " + std::string(task) +
                     " problem needs a number 'answer' (such as 408 or \"-7/3\"), not " +
                     in_quotes(problem.data.dump(-1, ' ', true, Json::error_handler_t::replace)));
  }
  return grade(completion, [&](std::string_view answer) -> std::optional<bool> {
    const auto number = stated_number(answer);
    if (!number) return std::nullopt;
    return *number == *right;
  });
}

std::optional<int64_t> json_integer(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (value.is_number_unsigned() && value.get<uint64_t>() > kMost) return std::nullopt;
  return value.get<int64_t>();
}

}  // namespace r1
