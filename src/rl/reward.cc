#include "rl/reward.h"

#include <algorithm>

#include "base/error.h"
#include "base/text_util.h"

namespace r1 {
namespace {

struct Row {
  const char* name;
  RewardFunction function;
};

constexpr Row kRewards[] = {
    {"correct", reward_correct},
    {"format", reward_format},
};

}  // namespace

std::vector<std::string> reward_names() {
  std::vector<std::string> names;
  for (const Row& row : kRewards) names.emplace_back(row.name);
  return names;
}

RewardFunction find_reward(std::string_view name) {
  for (const Row& row : kRewards) {
    if (name == row.name) return row.function;
  }
  throw InputError("no reward is called " + in_quotes(name) + did_you_mean(name, reward_names()));
}

Rewards::Rewards(const RewardOptions& options)
    : names_(options.rewards), weights_(options.reward_weights) {
  if (names_.empty()) throw InputError("rewards: expected at least one");
  for (const std::string& name : names_) {
    if (std::ranges::count(names_, name) > 1) {
      throw InputError("rewards: " + in_quotes(name) + " is there twice");
    }
    functions_.push_back(find_reward(name));
  }
  if (weights_.empty()) weights_.assign(names_.size(), 1.0);
  if (weights_.size() != names_.size()) {
    throw InputError("reward_weights: expected one for each of the " +
                     std::to_string(names_.size()) + " rewards, found " +
                     std::to_string(weights_.size()));
  }
}

void Rewards::grade(RolloutGroup& group) const {
  for (GradedCompletion& c : group.completions) {
    const std::string text = graded_text(group, c.text);
    const RewardInput input{group.problem, text, c.completion, c.verdict};
    c.rewards.clear();
    c.reward = 0;
    for (size_t i = 0; i < functions_.size(); ++i) {
      c.rewards.push_back(functions_[i](input));
      c.reward += weights_[i] * c.rewards.back();
    }
  }
}

}  // namespace r1
