// Token sequences packed for training: groups of branches (completions) that share a prefix (a
// prompt). The prefix is computed once a group, forward and backward; its keys are shared pages.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "model/batch.h"

namespace r1 {

// One prefix and its branches. Every branch token has a loss where its mask says so (an empty mask:
// all of them); prefix tokens have none. Without a prefix, a branch's first token has none either,
// for nothing predicts it.
struct SequenceGroup {
  std::vector<int32_t> prefix;
  std::vector<std::vector<int32_t>> branches;
  std::vector<std::vector<uint8_t>> masks;  // empty, or one a branch, of its length
};

// A micro-batch: the rows, which rows predict which targets, and the pages they live in.
class SequenceBatch {
 public:
  SequenceBatch() = default;
  // Moved, never copied: the batch points into the tables.
  SequenceBatch(SequenceBatch&&) = default;
  SequenceBatch& operator=(SequenceBatch&&) = default;

  // Adds a group's branches [begin, end).
  void add(const SequenceGroup& group, size_t begin, size_t end);
  void clear();

  const Batch& batch() const { return batch_; }
  // targets()[i] is the token that output i of the batch predicts: branch by branch, in order.
  std::span<const int32_t> targets() const { return targets_; }
  int64_t pages() const { return pages_; }
  int64_t rows() const { return batch_.rows(); }

 private:
  std::vector<int32_t>& new_table(int64_t positions);

  Batch batch_;
  std::vector<int32_t> targets_;
  std::deque<std::vector<int32_t>> tables_;  // stay where they are
  int64_t pages_ = 0;
  int32_t families_ = 0;
};

}  // namespace r1
