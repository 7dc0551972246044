// r1 bench --estimate and --memory: what a shape demands, of a machine that may not be this one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "bench/estimate.h"
#include "bench/memory_bench.h"

namespace r1 {

// The tests of r1 bench that a person asked for.
struct BenchTests {
  int64_t prefill = 0, decode = 0, depth = 0, train = 0, train_length = 512;
  std::vector<int64_t> groups;
};

// Predicted times and the memory, of a model whose matrices are `dtype` in its file.
void print_estimate(const ModelConfig& config, DType dtype, const BenchTests& tests,
                    const Roof& roof, bool json);

void print_memory(const MemoryTable& table, bool json);

}  // namespace r1
