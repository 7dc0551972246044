// Rows that each expert of each layer got in backward passes: by them a router's correction bias
// may be moved (Trainer). They lie in the backend's memory, where the passes count them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "tensor/buffer.h"

namespace r1 {

class ExpertLoads {
 public:
  // All zeros. ops must outlive it.
  ExpertLoads(int64_t layers, int64_t experts, Ops& ops)
      : experts_(static_cast<size_t>(experts)),
        ops_(ops),
        memory_(static_cast<size_t>(layers) * experts_ * sizeof(int64_t), ops.memory()) {}

  // For ops to count in.
  std::span<int64_t> layer(int64_t i) {
    return {reinterpret_cast<int64_t*>(memory_.data()) + static_cast<size_t>(i) * experts_,
            experts_};
  }
  // The layer's numbers, which are zero from then on.
  std::vector<int64_t> take(int64_t i) {
    const std::span<int64_t> counted = layer(i);
    std::vector<int64_t> loads(experts_);
    ops_.download(counted.data(), loads.data(), counted.size_bytes());
    ops_.zero(counted.data(), counted.size_bytes());
    return loads;
  }

 private:
  size_t experts_;
  Ops& ops_;
  Buffer memory_;  // [layers][experts]
};

}  // namespace r1
