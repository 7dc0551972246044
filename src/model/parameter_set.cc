#include "model/parameter_set.h"

#include <algorithm>

#include "base/error.h"

namespace r1 {
namespace {

int64_t aligned_floats(int64_t n) {
  return (n + 15) / 16 * 16;
}

}  // namespace

void ParameterSet::add(ParameterSpec spec, bool held, bool trained) {
  R1_CHECK(held || !trained);
  const int64_t floats = aligned_floats(spec.size());
  rows_.push_back({std::move(spec), held ? held_ : -1, trained ? trained_ : -1});
  if (held) held_ += floats;
  if (trained) trained_ += floats;
}

const ParameterSet::Row& ParameterSet::holding(int64_t offset) const {
  const auto after = std::upper_bound(rows_.begin(), rows_.end(), offset,
                                      [](int64_t at, const Row& row) { return at < row.offset; });
  R1_CHECK(after != rows_.begin());
  const Row& found = *(after - 1);
  R1_CHECK(found.offset >= 0 && offset < found.offset + found.spec.size());
  return found;
}

}  // namespace r1
