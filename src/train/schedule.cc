#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace r1 {

double schedule_factor(const ScheduleOptions& o, int64_t step, int64_t steps) {
  if (step < o.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(o.warmup_steps);
  }
  if (o.lr_scheduler_type == "constant") return 1.0;
  int64_t begin = o.warmup_steps;
  if (o.lr_scheduler_type == "warmup_stable_decay") {
    begin =
        std::max(begin, steps - static_cast<int64_t>(o.decay_ratio * static_cast<double>(steps)));
  }
  const int64_t length = std::max<int64_t>(1, steps - begin - 1);
  const double done =
      std::clamp(static_cast<double>(step - begin) / static_cast<double>(length), 0.0, 1.0);
  const double fall = o.lr_scheduler_type == "cosine"
                          ? 0.5 * (1.0 + std::cos(3.14159265358979323846 * done))
                          : 1.0 - done;
  return o.min_lr_ratio + (1.0 - o.min_lr_ratio) * fall;
}

}  // namespace r1
