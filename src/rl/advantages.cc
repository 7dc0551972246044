#include "rl/advantages.h"

#include <cmath>
#include <cstdint>

#include "base/error.h"

namespace r1 {

double mean(std::span<const double> values) {
  double total = 0;
  for (const double v : values) total += v;
  return values.empty() ? 0.0 : total / static_cast<double>(values.size());
}

double deviation(std::span<const double> values) {
  if (values.size() < 2) return 0.0;
  const double m = mean(values);
  double total = 0;
  for (const double v : values) total += (v - m) * (v - m);
  return std::sqrt(total / static_cast<double>(values.size() - 1));
}

GroupAdvantages group_advantages(std::span<const std::vector<double>> rewards,
                                 std::string_view scale_rewards, bool leave_one_out) {
  constexpr double kEpsilon = 1e-4;
  GroupAdvantages out;
  std::vector<double> all;
  for (const auto& group : rewards) all.insert(all.end(), group.begin(), group.end());
  const double batch_scale = deviation(all) + kEpsilon;
  for (const auto& group : rewards) {
    const double m = mean(group), n = static_cast<double>(group.size());
    double scale = 1.0;
    if (scale_rewards == "group") {
      scale = deviation(group) + kEpsilon;
    } else if (scale_rewards == "batch") {
      scale = batch_scale;
    } else {
      R1_CHECK(scale_rewards == "none");
    }
    bool mixed = false;
    std::vector<double> advantage;
    for (const double r : group) {
      mixed = mixed || r != group[0];
      // r - (sum - r) / (n - 1) = (r - mean) n / (n - 1)
      const double gap = leave_one_out && n > 1 ? (r - m) * n / (n - 1) : r - m;
      advantage.push_back(gap / scale);
    }
    out.advantage.push_back(std::move(advantage));
    out.mixed.push_back(mixed);
    out.mixed_groups += mixed ? 1 : 0;
  }
  return out;
}

}  // namespace r1
