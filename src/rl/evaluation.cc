#include "rl/evaluation.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace r1 {
namespace {

constexpr uint64_t kBootstrapSeed = 1;

// Whether the answer most of the first k completions give is right; of equally frequent answers the
// one that came first counts. Completions without an answer do not vote.
bool majority_is_right(const RolloutGroup& group, size_t k) {
  std::map<int64_t, int64_t> votes;
  for (size_t i = 0; i < k; ++i) {
    if (group.completions[i].vote >= 0) ++votes[group.completions[i].vote];
  }
  const auto best = std::max_element(
      votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return best != votes.end() && group.completions[static_cast<size_t>(best->first)].verdict.correct;
}

// Where every problem is all right or all wrong, resamples of all-equal problems would claim
// certainty; Wilson's interval does not.
Interval interval_of(std::span<const double> per_problem) {
  const auto right = std::count(per_problem.begin(), per_problem.end(), 1.0);
  const auto wrong = std::count(per_problem.begin(), per_problem.end(), 0.0);
  const auto problems = static_cast<int64_t>(per_problem.size());
  if (right + wrong == problems) return wilson_interval(right, problems);
  return bootstrap_interval(per_problem, kBootstrapSeed);
}

OrderedJson interval_json(const Interval& i) {
  return {{"value", i.value}, {"low", i.low}, {"high", i.high}};
}

}  // namespace

Evaluation evaluate_groups(std::span<const RolloutGroup> groups) {
  R1_CHECK(!groups.empty() && !groups[0].completions.empty());
  Evaluation out;
  out.problems = static_cast<int64_t>(groups.size());
  out.samples = static_cast<int64_t>(groups[0].completions.size());
  std::vector<int64_t> right;
  for (const RolloutGroup& g : groups) {
    R1_CHECK(static_cast<int64_t>(g.completions.size()) == out.samples);
    right.push_back(0);
    for (const GradedCompletion& c : g.completions) {
      right.back() += c.verdict.correct ? 1 : 0;
      out.tokens_sampled += static_cast<int64_t>(c.completion.ids.size());
      out.thinking_tokens += c.completion.thinking_tokens;
      out.unparseable += c.verdict.parsed ? 0 : 1;
      out.truncated += c.completion.reason == FinishReason::kLength ? 1 : 0;
    }
  }
  out.completion_length =
      static_cast<double>(out.tokens_sampled) / static_cast<double>(out.problems * out.samples);
  for (int64_t k = 1; k <= out.samples;
       k = k < out.samples ? std::min(2 * k, out.samples) : k + 1) {
    std::vector<double> pass, majority;
    for (size_t p = 0; p < groups.size(); ++p) {
      pass.push_back(pass_at_k(out.samples, right[p], k));
      majority.push_back(majority_is_right(groups[p], static_cast<size_t>(k)) ? 1.0 : 0.0);
    }
    out.at_k.push_back({k, interval_of(pass), interval_of(majority),
                        out.completion_length * static_cast<double>(k)});
  }
  out.accuracy = out.at_k[0].pass;
  return out;
}

OrderedJson evaluation_json(const Evaluation& e) {
  OrderedJson rows = OrderedJson::array();
  for (const EvaluationAtK& row : e.at_k) {
    rows.push_back({{"k", row.k},
                    {"pass", interval_json(row.pass)},
                    {"majority", interval_json(row.majority)},
                    {"tokens_per_problem", row.tokens}});
  }
  return {{"problems", e.problems},
          {"samples", e.samples},
          {"accuracy", interval_json(e.accuracy)},
          {"at_k", rows},
          {"completion_length", e.completion_length},
          {"unparseable", e.unparseable},
          {"truncated", e.truncated},
          {"tokens_sampled", e.tokens_sampled},
          {"thinking_tokens", e.thinking_tokens}};
}

}  // namespace r1
