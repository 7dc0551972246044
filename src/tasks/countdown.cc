#include "tasks/countdown.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "tasks/countdown_traces.h"
#include "tasks/expression.h"
#include "tasks/knobs.h"

namespace r1 {
namespace {

constexpr int64_t kLargest = 99;  // of an attempt's results

// A value on the way: what it is worth and how it came about.
struct Term {
  int64_t value = 0;
  std::string text;              // as an operand
  std::string key;               // canonical form, the same for reordered sums and products
  char chain = 0;                // '+' or '*' where all of it is one chain of that operator
  std::vector<int64_t> numbers;  // of the chain, descending
  bool leaf = true;
};

Term leaf(int64_t number) {
  const std::string text = std::to_string(number);
  return {number, text, text, 0, {number}, true};
}

// a op b, the larger first. Nothing in `allowed` where the same chain is written in another order.
bool combine(const Term& a, const Term& b, char op, int64_t result, Term& out) {
  out = Term{};
  out.value = result;
  out.leaf = false;
  auto operand = [](const Term& t) { return t.leaf ? t.text : "(" + t.text + ")"; };
  out.text = operand(a) + " " + op + " " + operand(b);
  out.key = out.text;
  if (op != '+' && op != '*') return true;
  const bool chain_a = a.leaf || a.chain == op, chain_b = b.leaf || b.chain == op;
  if (!chain_a || !chain_b) return true;
  out.chain = op;
  out.numbers = a.numbers;
  out.numbers.insert(out.numbers.end(), b.numbers.begin(), b.numbers.end());
  std::sort(out.numbers.rbegin(), out.numbers.rend());
  // Written from the largest number down: the chain so far, then one smaller number.
  const Term& longer = a.numbers.size() >= b.numbers.size() ? a : b;
  const Term& other = &longer == &a ? b : a;
  out.key = std::string(1, op);
  for (const int64_t n : out.numbers) out.key += " " + std::to_string(n);
  return other.leaf &&
         std::equal(longer.numbers.begin(), longer.numbers.end(), out.numbers.begin());
}

// Combines two of the terms in every way, then goes on with one term less.
void search(const std::vector<Term>& terms, const std::string& steps, const std::string& first,
            std::set<std::string>& seen, std::vector<CountdownAttempt>& out) {
  if (terms.size() == 1) {
    if (seen.insert(terms[0].key).second) {
      out.push_back({steps, terms[0].text, first, terms[0].value});
    }
    return;
  }
  for (size_t i = 0; i < terms.size(); ++i) {
    for (size_t j = i + 1; j < terms.size(); ++j) {
      const bool swap = terms[i].value < terms[j].value;
      const Term &large = terms[swap ? j : i], &small = terms[swap ? i : j];
      for (const auto& [op, result] : countdown_steps(large.value, small.value)) {
        Term next;
        if (!combine(large, small, op, result, next)) continue;
        const std::string line = std::to_string(large.value) + " " + op + " " +
                                 std::to_string(small.value) + " = " + std::to_string(result);
        std::vector<Term> rest;
        for (size_t k = 0; k < terms.size(); ++k) {
          if (k != i && k != j) rest.push_back(terms[k]);
        }
        rest.push_back(next);
        search(rest, steps.empty() ? line : steps + ", " + line, first.empty() ? line : first, seen,
               out);
      }
    }
  }
}

std::string numbers_text(const std::vector<int64_t>& numbers) {
  std::string text;
  for (const int64_t n : numbers) text += (text.empty() ? "" : " ") + std::to_string(n);
  return text;
}

Verdict verify_expression(const CountdownProblem& problem, std::string_view text) {
  std::string_view side = trim(text);
  if (side.empty()) return {0, "empty answer", false};
  // "(8 * 7) - 3 = 53" is an expression and the claim of its value.
  std::optional<Rational> claim = Rational(problem.target);
  if (const size_t equals = side.find('='); equals != std::string_view::npos) {
    claim = parse_number(side.substr(equals + 1));
    side = trim(side.substr(0, equals));
  }
  const auto expression = parse_expression(side);
  if (!expression || !claim) return {0, "unparseable", false};
  std::vector<int64_t> used = expression->literals;
  std::sort(used.begin(), used.end());
  if (used != problem.numbers) return {0, "wrong numbers", true};
  if (!expression->value) return {0, "division by zero", true};
  const Rational target(problem.target);
  if (!(*expression->value == target && *claim == target)) return {0, "wrong", true};
  return Verdict::right();
}

class Countdown : public Task {
 public:
  explicit Countdown(const std::map<std::string, int64_t>& values)
      : knobs_(kKnobs(), values, "countdown") {
    if (count() <= 3) enumerate();
  }

  std::string name() const override { return "countdown"; }
  std::string description() const override {
    return "reach the target from the given numbers, each used exactly once, with + - * /";
  }
  std::vector<Knob> knobs() const override { return knobs_.list(); }

  Problem sample(Rng& rng, Split split) const override {
    if (!problems_[0].empty() || !problems_[1].empty()) {
      const auto& list = of(split);
      if (list.empty()) throw JobError("countdown: these knobs leave a split without problems");
      return make_countdown_problem(list[rng.below(list.size())]);
    }
    for (int tries = 0; tries < 10000; ++tries) {
      CountdownProblem p;
      for (int64_t i = 0; i < count(); ++i) p.numbers.push_back(rng.between(1, largest()));
      std::sort(p.numbers.begin(), p.numbers.end());
      if (split_of(numbers_text(p.numbers)) != split) continue;
      // A random attempt's value is a target that can be reached.
      const auto value = random_value(p.numbers, rng);
      if (value < min_target() || value > max_target()) continue;
      p.target = value;
      return make_countdown_problem(p);
    }
    throw JobError("countdown: these knobs leave a split without problems");
  }

  std::vector<Problem> all(Split split) const override {
    std::vector<Problem> list;
    for (const CountdownProblem& p : of(split)) list.push_back(make_countdown_problem(p));
    return list;
  }

  WorkedExample worked_example(Rng& rng, const SolutionOptions& options) const override {
    const TraceOptions traces(options);
    if (rng.uniform() < traces.drill) return {"", countdown_drill(rng), false, " ="};
    const Problem problem = sample(rng, Split::kTrain);
    return {problem.prompt, countdown_trace(countdown_problem(problem), rng, traces)};
  }

  std::unique_ptr<Skills> skills() const override { return std::make_unique<CountdownSkills>(); }

  std::optional<ChatHint> chat_hint() const override {
    return ChatHint{"Numbers:",
                    "This model plays Countdown: give numbers and a target, as in 3 7 8 = 53"};
  }

  // "3 7 8 53" or "3, 7, 8 = 53": all numbers, the last one the target.
  std::optional<Problem> read_problem(std::string_view line) const override {
    std::vector<int64_t> numbers;
    for (size_t i = 0; i < line.size();) {
      if (line[i] >= '0' && line[i] <= '9') {
        int64_t value = 0;
        for (; i < line.size() && line[i] >= '0' && line[i] <= '9'; ++i) {
          value = std::min<int64_t>(value * 10 + (line[i] - '0'), 100000);
        }
        numbers.push_back(value);
      } else if (std::string_view(" ,;=>-").find(line[i]) != std::string_view::npos) {
        ++i;
      } else {
        return std::nullopt;
      }
    }
    if (numbers.size() < 3) return std::nullopt;
    CountdownProblem problem;
    problem.target = numbers.back();
    numbers.pop_back();
    std::sort(numbers.begin(), numbers.end());
    problem.numbers = std::move(numbers);
    return make_countdown_problem(problem);
  }

  Verdict verify(const Problem& problem, std::string_view completion) const override {
    const CountdownProblem countdown = countdown_problem(problem);
    const CommittedAnswer answer = committed_answer(completion);
    if (!answer.found) return {0, answer.reason, false};
    return verify_expression(countdown, answer.text);
  }

 private:
  static std::vector<Knob> kKnobs() {
    return {{"count", "how many numbers", 2, 6, 3},
            {"max_number", "the largest number", 2, 99, 12},
            {"min_target", "the smallest target", 1, 99, 10},
            {"max_target", "the largest target", 1, 99, 99}};
  }
  int64_t count() const { return knobs_["count"]; }
  int64_t largest() const { return knobs_["max_number"]; }
  int64_t min_target() const { return knobs_["min_target"]; }
  int64_t max_target() const { return knobs_["max_target"]; }
  const std::vector<CountdownProblem>& of(Split split) const {
    return problems_[split == Split::kTrain ? 0 : 1];
  }

  // All multisets and the targets that their attempts reach.
  void enumerate() {
    std::vector<int64_t> numbers(static_cast<size_t>(count()), 1);
    for (;;) {
      std::set<int64_t> targets;
      for (const CountdownAttempt& a : countdown_attempts(numbers)) {
        if (a.value >= min_target() && a.value <= max_target()) targets.insert(a.value);
      }
      const Split split = split_of(numbers_text(numbers));
      for (const int64_t t : targets) {
        problems_[split == Split::kTrain ? 0 : 1].push_back({numbers, t});
      }
      size_t i = numbers.size();
      while (i > 0 && numbers[i - 1] == largest()) --i;
      if (i == 0) return;
      const int64_t next = numbers[i - 1] + 1;
      std::fill(numbers.begin() + static_cast<int64_t>(i) - 1, numbers.end(), next);
    }
  }

  static int64_t random_value(std::vector<int64_t> values, Rng& rng) {
    while (values.size() > 1) {
      rng.shuffle(values);
      const int64_t a = values.back(), b = values[values.size() - 2];
      const auto steps = countdown_steps(std::max(a, b), std::min(a, b));
      if (steps.empty()) return 0;
      values.pop_back();
      values.back() = steps[rng.below(steps.size())].result;
    }
    return values[0];
  }

  KnobValues knobs_;
  std::vector<CountdownProblem> problems_[2];  // train, test; empty where there are too many
};

}  // namespace

std::vector<CountdownStep> countdown_steps(int64_t large, int64_t small) {
  std::vector<CountdownStep> steps;
  if (large + small <= kLargest) steps.push_back({'+', large + small});
  if (large - small >= 1) steps.push_back({'-', large - small});
  if (large * small <= kLargest) steps.push_back({'*', large * small});
  if (large % small == 0) steps.push_back({'/', large / small});
  return steps;
}

std::vector<CountdownAttempt> countdown_attempts(const std::vector<int64_t>& numbers) {
  R1_CHECK(!numbers.empty() && numbers.size() <= 4);
  std::vector<Term> terms;
  for (const int64_t n : numbers) terms.push_back(leaf(n));
  std::vector<CountdownAttempt> out;
  std::set<std::string> seen;
  search(terms, "", "", seen, out);
  return out;
}

std::string countdown_prompt(const CountdownProblem& problem) {
  return "Numbers: " + numbers_text(problem.numbers) +
         "\nTarget: " + std::to_string(problem.target) + "\n";
}

Problem make_countdown_problem(const CountdownProblem& problem) {
  Problem p;
  p.prompt = countdown_prompt(problem);
  p.key = numbers_text(problem.numbers);
  p.data = {{"numbers", problem.numbers}, {"target", problem.target}};
  return p;
}

CountdownProblem countdown_problem(const Problem& problem) {
  const Json& d = problem.data;
  const bool ok = d.is_object() && d.contains("numbers") && d["numbers"].is_array() &&
                  d.contains("target") && d["target"].is_number_integer() &&
                  std::all_of(d["numbers"].begin(), d["numbers"].end(),
                              [](const Json& n) { return n.is_number_integer(); });
  if (!ok) throw InputError("a countdown problem needs integers 'numbers' (a list) and 'target'");
  CountdownProblem p{d["numbers"].get<std::vector<int64_t>>(), d["target"].get<int64_t>()};
  std::sort(p.numbers.begin(), p.numbers.end());
  return p;
}

std::unique_ptr<Task> make_countdown(const std::map<std::string, int64_t>& knobs) {
  return std::make_unique<Countdown>(knobs);
}

}  // namespace r1
