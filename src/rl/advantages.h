// Advantages of a rollout: how much better each completion did than its group.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace r1 {

struct GroupAdvantages {
  std::vector<std::vector<double>> advantage;  // [group][completion]
  std::vector<bool> mixed;                     // whether the group's rewards differ
  int64_t mixed_groups = 0;
};

// reward - group mean, divided according to `scale_rewards` (TRL):
//   "none"   by nothing (Dr. GRPO)
//   "group"  by the group's standard deviation + 1e-4 (GRPO, DeepSeekMath section 4.1.2)
//   "batch"  by the whole rollout's standard deviation + 1e-4
// With `leave_one_out` (RLOO) the mean is that of the group's other completions.
GroupAdvantages group_advantages(std::span<const std::vector<double>> rewards,
                                 std::string_view scale_rewards, bool leave_one_out);

// Mean and unbiased standard deviation (0 for fewer than two values).
double mean(std::span<const double> values);
double deviation(std::span<const double> values);

}  // namespace r1
