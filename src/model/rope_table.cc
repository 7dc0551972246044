#include "model/rope_table.h"

#include <cmath>

namespace r1 {

RopeTable::RopeTable(const RopeScaling& scaling, double theta, int64_t dim, int64_t positions,
                     Allocator& memory)
    : frequencies_(rope_frequencies(scaling, theta, dim)),
      magnitude_(scaling.magnitude()),
      dim_(dim),
      positions_(positions),
      memory_(Buffer::of_floats(positions * dim, memory)) {}

ConstTensor RopeTable::rows(int64_t count, Ops& ops) {
  R1_CHECK(count <= positions_);
  const int64_t half = dim_ / 2;
  const std::lock_guard lock(mutex_);
  std::vector<float> fresh;
  for (int64_t position = made_; position < count; ++position) {
    fresh.resize(fresh.size() + static_cast<size_t>(dim_));
    float* const row = fresh.data() + (position - made_) * dim_;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies_[static_cast<size_t>(i)];
      row[i] = static_cast<float>(magnitude_ * std::cos(angle));
      row[half + i] = static_cast<float>(magnitude_ * std::sin(angle));
    }
  }
  if (!fresh.empty()) {
    ops.upload(fresh.data(), memory_.floats() + made_ * dim_, fresh.size() * sizeof(float));
    made_ = count;
  }
  return {memory_.floats(), count, dim_};
}

}  // namespace r1
