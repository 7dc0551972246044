// Learning-rate schedules, by the names of transformers' `lr_scheduler_type`.
#pragma once

#include <cstdint>
#include <string>

#include "base/config.h"

namespace r1 {

struct ScheduleOptions {
  std::string lr_scheduler_type = "cosine";
  int64_t warmup_steps = 0;
  double min_lr_ratio = 0.1;
  double decay_ratio = 0.2;

  template <class V>
  void visit(V& v) {
    v("lr_scheduler_type", lr_scheduler_type, "how the rate falls after the warm-up",
      one_of({"constant", "linear", "cosine", "warmup_stable_decay"}));
    v("warmup_steps", warmup_steps, "steps over which the rate rises from 0", at_least(0));
    v("min_lr_ratio", min_lr_ratio, "the last step's rate, as a share of the peak", in_range(0, 1));
    v("decay_ratio", decay_ratio, "warmup_stable_decay: share of the steps that decay",
      in_range(0, 1));
  }
};

// The share of the peak rate at update `step` (from 0) of `steps`, in [0, 1]. Step s of the warm-up
// has (s + 1) / warmup_steps, so that no update is wasted on a rate of 0.
double schedule_factor(const ScheduleOptions& options, int64_t step, int64_t steps);

}  // namespace r1
