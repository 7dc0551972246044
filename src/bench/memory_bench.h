// What a model really holds in memory, beside what its shape demands (estimate.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/tensor_source.h"
#include "model/model.h"

namespace r1 {

struct MemoryRow {
  std::string name;
  double demanded = 0;
  std::optional<double> held;  // bytes of its buffers; none where it lives within a call
};

struct MemoryTable {
  std::string title;
  std::vector<MemoryRow> rows;
  double demanded = 0;  // all rows
  // The highest growth of the process's resident memory; 0 where the system does not tell.
  double resident = 0;
};

// A model opened in place that has read `context` tokens, which the files' bytes count among: they
// are mapped, and read once.
MemoryTable inference_table(const ModelConfig& config, std::shared_ptr<const TensorSource> files,
                            DType dtype, Ops& ops, int64_t context);

// Two optimizer steps on `tokens` tokens in sequences of `length`.
MemoryTable training_table(const ModelConfig& config, DType dtype, Ops& ops, int64_t tokens,
                           int64_t length, bool recompute);

}  // namespace r1
