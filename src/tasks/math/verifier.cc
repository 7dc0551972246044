// The verifier `math`: the final answer of a completion against a reference answer, as mathematics.
#include "tasks/verifier.h"

#include <algorithm>

#include "base/error.h"
#include "tasks/final_answer.h"
#include "tasks/math/answer.h"
#include "tasks/math/latex.h"

namespace r1 {
namespace {

constexpr size_t kMaxProblemText = 20000;

size_t count_numbers(const std::vector<MathToken>& tokens) {
  return static_cast<size_t>(std::count_if(tokens.begin(), tokens.end(), [](const MathToken& t) {
    return t.kind == MathTokenKind::kNumber;
  }));
}

// What of a final answer is compared. An answer in a sentence ("The answer is 5, as we saw.") is
// the sentence's only number where the whole is no mathematics.
std::string_view compared_text(const FinalAnswer& answer) {
  if (answer.kind == FinalAnswer::Kind::kNone || answer.number.empty()) {
    return answer.text.empty() ? answer.number : answer.text;
  }
  if (answer.text.size() > kMaxAnswerText) return answer.text;
  std::vector<MathToken> tokens = math_tokens(answer.text);
  join_thousands(tokens);
  const auto tree = parse_math(tokens);
  if (tree && tree->kind != MathKind::kWords) return answer.text;
  const bool one = answer.kind == FinalAnswer::Kind::kLine || count_numbers(tokens) == 1;
  return one ? answer.number : answer.text;
}

bool has_arithmetic(const MathNode& n) {
  switch (n.kind) {
    case MathKind::kAdd:
    case MathKind::kMultiply:
    case MathKind::kDivide:
    case MathKind::kPower:
    case MathKind::kFunction:
      return true;
    default:
      return std::any_of(n.args.begin(), n.args.end(), has_arithmetic);
  }
}

// Whether an answer that is right by value but not by text only repeats an expression of the
// problem: "Expand (p+7)^2" is not answered by (p+7)^2, nor "Factor 63" by 63.
bool repeats_problem(const Problem& problem, std::string_view answer) {
  if (problem.prompt.size() > kMaxProblemText) return false;
  const auto given = math_tokens(answer), expected = math_tokens(problem.answer);
  const std::string text = normal_text(given);
  if (text.empty() || text == normal_text(expected)) return false;
  const auto tree = parse_math(given);
  if (!tree) return false;
  if (!has_arithmetic(*tree)) {
    // A number stands in the problem for many reasons, unless arithmetic on it is the answer.
    const auto asked = parse_math(expected);
    if (!asked || is_literal(*asked, true) || !is_literal(*tree, true) ||
        (asked->kind != MathKind::kMultiply && asked->kind != MathKind::kPower)) {
      return false;
    }
  }
  const std::string all = normal_text(math_tokens(problem.prompt));
  auto joins = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '^' || c == '_';
  };
  for (size_t at = all.find(text); at != all.npos; at = all.find(text, at + 1)) {
    const size_t end = at + text.size();
    const bool begins = at == 0 || !joins(all[at - 1]);
    if (begins && (end == all.size() || !joins(all[end]))) return true;
  }
  return false;
}

class MathVerifier : public Verifier {
 public:
  std::string name() const override { return "math"; }
  std::string description() const override {
    return "the final answer equals \"answer\" as mathematics: numbers exactly, expressions, sets";
  }

  std::string instruction() const override {
    return "\nPlease reason step by step, and put your final answer within \\boxed{}.";
  }

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const std::string expected = reference(problem);
    const FinalAnswer answer = final_answer(completion);
    const std::string_view text = compared_text(answer);
    if (text.empty()) return {0, answer.reason, false};
    switch (match_answers(expected, text)) {
      case AnswerMatch::kSame:
        if (repeats_problem(problem, text)) return {0, "repeats the problem", true};
        return Verdict::right();
      case AnswerMatch::kUnevaluated:
        return {0, "arithmetic left to do", true};
      case AnswerMatch::kUnparseable:
        return {0, "unparseable", false};
      case AnswerMatch::kDifferent:
        break;
    }
    return {0, "wrong", true};
  }

  std::string vote(std::string_view completion) const override {
    return std::string(compared_text(final_answer(completion)));
  }
  bool same_vote(const std::string& a, const std::string& b) const override {
    return match_answers(a, b) == AnswerMatch::kSame;
  }

 private:
  // A solution with its answer marked (#### 18, \boxed{18}) will do as a reference, too.
  static std::string reference(const Problem& problem) {
    if (problem.answer.empty()) {
      throw InputError("the verifier math needs a string or number \"answer\"");
    }
    const bool solution = problem.answer.find("####") != std::string::npos ||
                          problem.answer.find("\\boxed") != std::string::npos;
    if (!solution) return problem.answer;
    const FinalAnswer answer = final_answer(problem.answer);
    return answer.text.empty() ? problem.answer : std::string(answer.text);
  }
};

}  // namespace

std::unique_ptr<Verifier> make_math_verifier() {
  return std::make_unique<MathVerifier>();
}

}  // namespace r1
