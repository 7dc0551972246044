// The machine's limits, measured: how many floating-point operations and how many bytes a second
// there are to be had. Every measurement is the best of several: a limit is what was ever reached.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/dtype.h"

namespace r1 {

struct Roof {
  std::string isa;  // whose multiply-adds were counted
  int threads = 0;

  // FLOP/s of independent multiply-adds on registers, on one thread and on all.
  double core_f32 = 0, f32 = 0;
  // The same with bf16 inputs and float32 sums; float32's where the instruction set has no such
  // instruction.
  double core_bf16 = 0, bf16 = 0;
  // The same of products of bytes with 32-bit sums.
  double core_int8 = 0, int8 = 0;

  // Bytes/s on all threads over memory much larger than the caches: reading, copying, and changing
  // in place. The last two count what they read and what they write.
  double read = 0, copy = 0, update = 0;

  // Of products with weights of a type: block formats multiply bytes.
  double peak(DType dtype) const {
    return dtype_block(dtype) > 1 ? int8 : dtype == DType::kBF16 ? bf16 : f32;
  }
  // The least time for so many bytes. What is written goes out beside what is read, so the two need
  // not take their times' sum.
  double memory_seconds(double read_bytes, double written_bytes) const;
};

// `isa` as Ops::isa() says it; "scalar" (ref) is held against the best instruction set. `seconds`
// is how long one repetition takes at least. Uses 2 * cold_bytes() of memory for its duration.
Roof measure_roof(ThreadPool& pool, std::string_view isa, double seconds, int repetitions);

// That of a benchmark's repetitions, of which there must be one.
double median(std::vector<double> values);

// The better of two measurements of each limit: limits move on a shared machine.
Roof best_of(const Roof& a, const Roof& b);

// So many bytes are too many for the caches: four times the last level's size.
size_t cold_bytes();

}  // namespace r1
