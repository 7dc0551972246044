// A model's parameters in the order they are stored, and where the values of each lie among all
// that are held and among those that are trained. Computed once a model; loading, saving, the
// gradients and the optimizer walk it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/weights.h"

namespace r1 {

class ParameterSet {
 public:
  // Every parameter begins on a cache line of its own.
  struct Row {
    ParameterSpec spec;
    int64_t offset = -1;   // of its first value in Model::masters(); -1: no float32 values are held
    int64_t trained = -1;  // of its first value among gradients and moments; -1: frozen
  };

  // `trained` is for parameters that are held alone.
  void add(ParameterSpec spec, bool held, bool trained);

  std::vector<Row>::const_iterator begin() const { return rows_.begin(); }
  std::vector<Row>::const_iterator end() const { return rows_.end(); }
  const Row& operator[](size_t i) const { return rows_[i]; }
  // The one that the value at `offset` belongs to, in a model that holds every parameter.
  const Row& holding(int64_t offset) const;

  // Floats of all that are held, and of those that are trained.
  int64_t held_floats() const { return held_; }
  int64_t trained_floats() const { return trained_; }

 private:
  std::vector<Row> rows_;
  int64_t held_ = 0, trained_ = 0;
};

}  // namespace r1
