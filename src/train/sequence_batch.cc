#include "train/sequence_batch.h"

namespace r1 {

void SequenceBatch::clear() {
  batch_.clear();
  targets_.clear();
  tables_.clear();
  pages_ = 0;
  families_ = 0;
}

// A page table with new pages for positions [0, positions).
std::vector<int32_t>& SequenceBatch::new_table(int64_t positions) {
  tables_.emplace_back();
  for (int64_t i = 0; i < pages_for(positions); ++i) {
    tables_.back().push_back(static_cast<int32_t>(pages_++));
  }
  return tables_.back();
}

void SequenceBatch::add(const SequenceGroup& group, size_t begin, size_t end) {
  const int32_t family = families_++;
  const int64_t prefix = static_cast<int64_t>(group.prefix.size());
  const int64_t full = prefix / kPageSize, rest = prefix % kPageSize;
  const std::vector<int32_t>* shared = nullptr;
  int64_t prefix_last = -1;
  if (prefix > 0) {
    shared = &new_table(prefix);
    prefix_last = batch_.add(group.prefix, 0, shared->data(), family) + prefix - 1;
  }
  for (size_t b = begin; b < end; ++b) {
    const std::vector<int32_t>& ids = group.branches[b];
    if (ids.empty()) continue;
    // The last token is predicted, but predicts nothing.
    const std::span<const int32_t> inputs(ids.data(), ids.size() - 1);
    const int64_t positions = prefix + static_cast<int64_t>(inputs.size());
    int64_t first_row = prefix_last;
    if (!inputs.empty()) {
      std::vector<int32_t>& table = new_table(positions - full * kPageSize);
      if (shared) table.insert(table.begin(), shared->begin(), shared->begin() + full);
      if (rest > 0) {
        batch_.copies.push_back({(*shared)[static_cast<size_t>(full)],
                                 table[static_cast<size_t>(full)], static_cast<int32_t>(rest)});
      }
      first_row = batch_.add(inputs, prefix, table.data(), family);
    }
    auto counts = [&](size_t i) { return group.masks.empty() || group.masks[b][i] != 0; };
    for (size_t i = prefix > 0 ? 0 : 1; i < ids.size(); ++i) {
      if (!counts(i)) continue;
      const int64_t row = i == 0 ? prefix_last : first_row + static_cast<int64_t>(i) - 1;
      batch_.outputs.push_back(static_cast<int32_t>(row));
      targets_.push_back(ids[i]);
    }
  }
}

}  // namespace r1
