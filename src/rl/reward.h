// Rewards: what a completion is worth, named, weighted and logged one by one (TRL's reward_funcs
// and reward_weights). A reward is a file, reward_x.cc, with a pure function, and a row of the
// table in reward.cc.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "rl/rollout.h"

namespace r1 {

// A graded completion, as a reward sees it.
struct RewardInput {
  const Problem& problem;
  std::string_view text;  // thinking that the prompt opened begins with <think>
  const Completion& completion;
  const Verdict& verdict;
};
using RewardFunction = double (*)(const RewardInput&);

std::vector<std::string> reward_names();
// InputError names the nearest known one.
RewardFunction find_reward(std::string_view name);

struct RewardOptions {
  std::vector<std::string> rewards = {"correct"};
  std::vector<double> reward_weights;

  template <class V>
  void visit(V& v) {
    v("rewards", rewards, "what completions are rewarded for, each logged by its name",
      one_of(reward_names()));
    v("reward_weights", reward_weights, "a weight for each of the rewards; empty: 1 for each");
  }
};

class Rewards {
 public:
  // InputError where there are no rewards, one twice, or as many weights as rewards are not given.
  explicit Rewards(const RewardOptions& options);

  const std::vector<std::string>& names() const { return names_; }
  // Sets each completion's `rewards`, in the order of names(), and `reward`, their weighted sum.
  void grade(RolloutGroup& group) const;

 private:
  std::vector<std::string> names_;
  std::vector<RewardFunction> functions_;
  std::vector<double> weights_;
};

// --- rows of reward.cc's table ---

// What the task's verifier gives.
double reward_correct(const RewardInput& input);
// Whether thinking and answer stand in their tags.
double reward_format(const RewardInput& input);

}  // namespace r1
