#include "rl/loss.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text_util.h"

namespace r1 {
namespace {

struct Row {
  const char* name;
  LossFunction function;
};

constexpr Row kLosses[] = {
    {"grpo", grpo_loss}, {"dr_grpo", dr_grpo_loss}, {"dapo", dapo_loss},
    {"gspo", gspo_loss}, {"cispo", cispo_loss},     {"rloo", rloo_loss},
};

}  // namespace

std::vector<std::string> loss_names() {
  std::vector<std::string> names;
  for (const Row& row : kLosses) names.emplace_back(row.name);
  return names;
}

LossFunction find_loss(std::string_view name) {
  for (const Row& row : kLosses) {
    if (name == row.name) return row.function;
  }
  throw InputError("no loss is called '" + std::string(name) + "'" +
                   did_you_mean(name, loss_names()));
}

TokenTerm clipped_surrogate(double logprob, double old, double advantage, double low, double high) {
  const double ratio = std::exp(logprob - old);
  const double clipped = std::clamp(ratio, 1.0 - low, 1.0 + high) * advantage;
  if (clipped < ratio * advantage) return {-clipped, 0.0, true};
  return {-ratio * advantage, -ratio * advantage, false};
}

TokenTerm kl_term(double logprob, double ref, double beta) {
  const double gap = ref - logprob, ratio = std::exp(gap);
  return {beta * (ratio - gap - 1.0), beta * (1.0 - ratio), false};
}

}  // namespace r1
