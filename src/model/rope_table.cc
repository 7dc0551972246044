#include "model/rope_table.h"

#include <cmath>

namespace r1 {

RopeTable::RopeTable(const RopeScaling& scaling, double theta, int64_t dim, int64_t positions)
    : frequencies_(rope_frequencies(scaling, theta, dim)),
      magnitude_(scaling.magnitude()),
      dim_(dim),
      positions_(positions),
      memory_(Buffer::of_floats(positions * dim)) {}

ConstTensor RopeTable::rows(int64_t count) {
  R1_CHECK(count <= positions_);
  const int64_t half = dim_ / 2;
  const std::lock_guard lock(mutex_);
  for (; made_ < count; ++made_) {
    float* row = memory_.floats() + made_ * dim_;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(made_) * frequencies_[static_cast<size_t>(i)];
      row[i] = static_cast<float>(magnitude_ * std::cos(angle));
      row[half + i] = static_cast<float>(magnitude_ * std::sin(angle));
    }
  }
  return {memory_.floats(), count, dim_};
}

}  // namespace r1
