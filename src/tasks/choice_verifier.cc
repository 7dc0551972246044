// The verifiers `choice` and `exact`.
#include <cctype>
#include <optional>

#include "base/error.h"
#include "tasks/final_answer.h"
#include "tasks/math/latex.h"
#include "tasks/rational.h"
#include "tasks/verifier.h"

namespace r1 {
namespace {

// The letter that an answer names: "B", "(b)", "\text{(B)}", "B. 12 apples", "option B"; nothing
// where there is none or more than one.
std::optional<char> letter_of(std::string_view answer) {
  if (answer.size() > 1000) return {};
  std::optional<char> found;
  const auto tokens = math_tokens(answer);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const MathToken& t = tokens[i];
    if (t.is("and") || t.is("or")) return {};
    const bool single = t.kind == MathTokenKind::kSymbol && t.text.size() == 1 &&
                        std::isalpha(static_cast<unsigned char>(t.text[0])) != 0;
    if (!single) continue;
    const auto letter = static_cast<char>(std::toupper(static_cast<unsigned char>(t.text[0])));
    const bool opened = i > 0 && tokens[i - 1].is("(");
    const bool closed = i + 1 < tokens.size() &&
                        (tokens[i + 1].is(")") || tokens[i + 1].is(".") || tokens[i + 1].is(":"));
    // A letter that leads the text of its choice, or is alone; what follows it is that text.
    const bool leads = (i == 0 || opened || tokens[i - 1].kind == MathTokenKind::kWord) &&
                       (closed || i + 1 == tokens.size());
    if (!leads || letter > 'J') {
      if (!found) return {};
      continue;
    }
    if (found && *found != letter) return {};
    found = letter;
  }
  return found;
}

class ChoiceVerifier : public Verifier {
 public:
  std::string name() const override { return "choice"; }
  std::string description() const override {
    return "the letter of a multiple choice equals \"answer\": B, (B), \\boxed{\\text{B}}";
  }
  std::string instruction() const override {
    return "\nPlease reason step by step, and put the letter of your choice within \\boxed{}.";
  }
  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const auto expected = letter_of(problem.answer);
    if (!expected) throw InputError("the verifier choice needs \"answer\", a letter from A to J");
    const FinalAnswer answer = final_answer(completion);
    if (answer.kind == FinalAnswer::Kind::kNone) return {0, answer.reason, false};
    const auto given = letter_of(answer.text);
    if (!given) return {0, "unparseable", false};
    return *given == *expected ? Verdict::right() : Verdict::wrong();
  }
  std::string vote(std::string_view completion) const override {
    const auto letter = letter_of(final_answer(completion).text);
    return letter ? std::string(1, *letter) : "";
  }
};

class ExactVerifier : public Verifier {
 public:
  std::string name() const override { return "exact"; }
  std::string description() const override {
    return "the final answer equals \"answer\" as a number, or letter by letter";
  }
  std::string instruction() const override {
    return "\nPlease reason step by step, and put your final answer within \\boxed{}.";
  }
  Verdict verify(const Problem& problem, std::string_view completion) const override {
    if (problem.answer.empty()) {
      throw InputError("the verifier exact needs a string or number \"answer\"");
    }
    const FinalAnswer answer = final_answer(completion);
    if (answer.kind == FinalAnswer::Kind::kNone) return {0, answer.reason, false};
    const auto expected = parse_number(problem.answer), number = parse_number(answer.text);
    if (expected && !number) return {0, "unparseable", false};
    const bool right = expected ? *number == *expected : answer.text == trim(problem.answer);
    return right ? Verdict::right() : Verdict::wrong();
  }
  std::string vote(std::string_view completion) const override {
    const FinalAnswer answer = final_answer(completion);
    const auto number = parse_number(answer.text);
    return number ? number->text() : std::string(answer.text);
  }
};

}  // namespace

std::unique_ptr<Verifier> make_choice_verifier() {
  return std::make_unique<ChoiceVerifier>();
}
std::unique_ptr<Verifier> make_exact_verifier() {
  return std::make_unique<ExactVerifier>();
}

}  // namespace r1
