#include "tasks/countdown_traces.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "tasks/expression.h"
#include "text/think.h"

namespace r1 {
namespace {

// Attempts that begin with the same step next to each other, the groups in random order.
void group_by_first_step(std::vector<CountdownAttempt>& attempts, Rng& rng) {
  std::map<std::string, uint64_t> rank;
  for (const CountdownAttempt& a : attempts) {
    if (!rank.contains(a.first_step)) rank[a.first_step] = rng.next_u64();
  }
  std::stable_sort(attempts.begin(), attempts.end(), [&](const auto& a, const auto& b) {
    return rank.at(a.first_step) < rank.at(b.first_step);
  });
}

struct Line {
  std::string_view steps, check;
  int64_t value = 0, target = 0;
  int64_t steps_right = 0, steps_total = 0;
  std::set<std::string> expressions;  // that the steps may spell; none: not a legal attempt
};

std::optional<int64_t> number_of(std::string_view text) {
  const auto n = parse_number(text);
  if (!n || !n->is_integer()) return std::nullopt;
  return n->numerator();
}

struct WrittenStep {
  int64_t left = 0, right = 0, result = 0;
  char op = 0;
  bool correct = false;
};

// "8 * 7 = 56"
std::optional<WrittenStep> parse_step(std::string_view text) {
  const size_t equals = text.find(" = ");
  if (equals == std::string_view::npos || equals < 5) return std::nullopt;
  const std::string_view sum = text.substr(0, equals);
  const size_t space = sum.find(' ');
  if (space == std::string_view::npos || space + 3 >= sum.size()) return std::nullopt;
  const auto left = number_of(sum.substr(0, space)), right = number_of(sum.substr(space + 3));
  const auto result = number_of(text.substr(equals + 3));
  if (!left || !right || !result) return std::nullopt;
  WrittenStep step{*left, *right, *result, sum[space + 1], false};
  const auto value = parse_expression(sum);
  step.correct = value && value->value && *value->value == Rational(*result);
  return step;
}

// A value that a step may take: a given number, or a result with the expression that made it.
struct Item {
  int64_t value;
  std::string text;
  bool leaf;

  std::string operand() const { return leaf ? text : "(" + text + ")"; }
};

// The expressions that the steps [at, ...) spell if each takes two of the items and leaves one. Two
// where an item and another are worth the same: "6 - 3 = 3, 3 * 3 = 9" of 3, 3 and 6.
void spell(const std::vector<WrittenStep>& steps, size_t at, const std::vector<Item>& items,
           std::set<std::string>& expressions) {
  if (at == steps.size()) {
    if (items.size() == 1) expressions.insert(items[0].text);
    return;
  }
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t j = 0; j < items.size(); ++j) {
      if (i == j || items[i].value != steps[at].left || items[j].value != steps[at].right) continue;
      std::vector<Item> rest;
      for (size_t k = 0; k < items.size(); ++k) {
        if (k != i && k != j) rest.push_back(items[k]);
      }
      rest.push_back({steps[at].result,
                      items[i].operand() + " " + steps[at].op + " " + items[j].operand(), false});
      spell(steps, at + 1, rest, expressions);
    }
  }
}

std::set<std::string> spelled_expressions(const std::vector<WrittenStep>& steps,
                                          const std::vector<int64_t>& numbers) {
  std::set<std::string> expressions;
  if (steps.size() + 1 != numbers.size()) return expressions;
  std::vector<Item> items;
  for (const int64_t n : numbers) items.push_back({n, std::to_string(n), true});
  spell(steps, 0, items, expressions);
  return expressions;
}

// "8 * 7 = 56, 56 - 3 = 53 vs 62 no"; nothing where a line has not even that form.
std::optional<Line> parse_line(std::string_view text, const CountdownProblem& problem) {
  const size_t vs = text.find(" vs ");
  if (vs == std::string_view::npos) return std::nullopt;
  Line line;
  line.steps = text.substr(0, vs);
  const std::string_view rest = text.substr(vs + 4);
  const size_t space = rest.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  line.target = number_of(rest.substr(0, space)).value_or(-1);
  line.check = rest.substr(space + 1);
  std::vector<WrittenStep> steps;
  for (std::string_view left = line.steps; !left.empty();) {
    const size_t comma = left.find(", ");
    const auto step = parse_step(left.substr(0, comma));
    ++line.steps_total;
    if (step) {
      line.steps_right += step->correct ? 1 : 0;
      line.value = step->result;
      steps.push_back(*step);
    }
    left = comma == std::string_view::npos ? std::string_view{} : left.substr(comma + 2);
  }
  if (static_cast<int64_t>(steps.size()) == line.steps_total) {
    line.expressions = spelled_expressions(steps, problem.numbers);
  }
  return line;
}

}  // namespace

TraceOptions::TraceOptions(const SolutionOptions& o)
    : give_up(o.get<double>("give_up")),
      hit(o.get<double>("hit")),
      systematic(o.get<double>("systematic")),
      drill(o.get<double>("drill")),
      max_attempts(o.get<int64_t>("max_attempts")) {}

std::vector<SolutionOption> countdown_solution_options() {
  const TraceOptions d;
  return {
      {"give_up", "probability of giving up after each failed attempt", in_range(0, 1), d.give_up},
      {"hit", "share of traces with a solution among their attempts", in_range(0, 1), d.hit},
      {"systematic", "share of traces that try all continuations of a step in a row",
       in_range(0, 1), d.systematic},
      {"max_attempts", "longest trace", at_least(1), d.max_attempts},
      {"drill", "share of examples that are lists of sums instead of traces", in_range(0, 1),
       d.drill}};
}

std::string countdown_trace(const CountdownProblem& problem, Rng& rng,
                            const TraceOptions& options) {
  std::vector<CountdownAttempt> attempts = countdown_attempts(problem.numbers);
  rng.shuffle(attempts);
  // One solving attempt stays where there is to be a hit; so its place is uniform.
  bool keep = rng.uniform() < options.hit;
  std::erase_if(attempts, [&](const CountdownAttempt& a) {
    return a.value == problem.target && !std::exchange(keep, false);
  });
  if (rng.uniform() < options.systematic) group_by_first_step(attempts, rng);
  std::string text = std::string(kThinkOpen) + "\n";
  const std::string target = std::to_string(problem.target);
  const CountdownAttempt* last = nullptr;
  for (int64_t i = 0; i < options.max_attempts && i < static_cast<int64_t>(attempts.size()); ++i) {
    last = &attempts[static_cast<size_t>(i)];
    const bool hit = last->value == problem.target;
    text += last->steps + " vs " + target + (hit ? " yes\n" : " no\n");
    if (hit || rng.uniform() < options.give_up) break;
  }
  return text + std::string(kThinkClose) + "\n" + std::string(kAnswerOpen) +
         (last ? last->expression : "") + std::string(kAnswerClose);
}

std::string countdown_drill(Rng& rng) {
  constexpr int kSums = 24;
  constexpr int64_t kLargest = 99, kLargestNumber = 12;
  std::string text;
  for (int i = 0; i < kSums; ++i) {
    const int64_t a = rng.between(1, kLargest), b = rng.between(1, kLargestNumber);
    const auto steps = countdown_steps(std::max(a, b), std::min(a, b));
    const auto& step = steps[rng.below(steps.size())];
    text += std::to_string(std::max(a, b)) + " " + step.op + " " + std::to_string(std::min(a, b)) +
            " = " + std::to_string(step.result) + "\n";
  }
  return text;
}

void CountdownSkills::add(const CountdownProblem& problem, std::string_view completion) {
  const ThinkSplit split = split_thinking(completion);
  std::set<std::string_view> seen;
  int64_t count = 0;
  std::optional<Line> approved;
  for (std::string_view left = split.thinking; !left.empty();) {
    const size_t end = left.find('\n');
    const auto line = parse_line(left.substr(0, end), problem);
    left = end == std::string_view::npos ? std::string_view{} : left.substr(end + 1);
    if (!line) continue;
    ++count;
    arithmetic.right += line->steps_right;
    arithmetic.total += line->steps_total;
    legal.count(!line->expressions.empty());
    distinct.count(seen.insert(line->steps).second);
    const bool hit = line->value == problem.target, copied = line->target == problem.target;
    (hit ? check_hit : check_miss).count(copied && line->check == (hit ? "yes" : "no"));
    if (line->check == "yes") approved = line;
  }
  attempts += count;
  ++completions;
  long_traces.count(count >= 8);
  if (!approved) return;
  const CommittedAnswer answer = committed_answer(completion);
  answer_copies.count(answer.found &&
                      approved->expressions.contains(std::string(trim(answer.text))));
}

SkillShares CountdownSkills::shares() const {
  return {{"arithmetic", arithmetic}, {"legal", legal},          {"check_hit", check_hit},
          {"check_miss", check_miss}, {"answer", answer_copies}, {"distinct", distinct},
          {"long", long_traces}};
}

}  // namespace r1
