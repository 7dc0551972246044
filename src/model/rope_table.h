// The cosines and sines of rotary position embeddings, by position.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "backend/ops.h"
#include "model/rope.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace r1 {

// Rows are made when they are first asked for: the table of a long context takes longer to make
// than a small model's first token. Thread-safe.
class RopeTable {
 public:
  RopeTable(const RopeScaling& scaling, double theta, int64_t dim, int64_t positions,
            Allocator& memory);

  int64_t positions() const { return positions_; }
  // [count, dim]: a row's cosines, then its sines, in the memory of `ops`. It stays where it is.
  ConstTensor rows(int64_t count, Ops& ops);

 private:
  const std::vector<double> frequencies_;
  const double magnitude_;
  const int64_t dim_, positions_;
  std::mutex mutex_;
  int64_t made_ = 0;  // rows; guarded by mutex_
  Buffer memory_;
};

}  // namespace r1
