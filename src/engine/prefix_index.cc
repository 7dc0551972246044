#include "engine/prefix_index.h"

#include <algorithm>

#include "base/rng.h"

namespace r1 {

size_t PrefixIndex::Hash::operator()(const Block& block) const {
  uint64_t h = block.before;
  for (const int32_t id : block.ids) h = mix_seed(h, static_cast<uint64_t>(id));
  return static_cast<size_t>(h);
}

std::optional<PrefixIndex::Entry> PrefixIndex::find(uint64_t before, const Ids& ids) const {
  const auto it = entries_.find({before, ids});
  if (it == entries_.end()) return std::nullopt;
  return it->second;
}

uint64_t PrefixIndex::insert(uint64_t before, const Ids& ids, int32_t page) {
  const auto [it, is_new] = entries_.try_emplace({before, ids}, Entry{page, next_number_});
  if (is_new) {
    ++next_number_;
    block_of_[static_cast<size_t>(page)] = &it->first;
  }
  return it->second.number;
}

void PrefixIndex::forget(int32_t page) {
  const Block*& block = block_of_[static_cast<size_t>(page)];
  if (block == nullptr) return;
  entries_.erase(entries_.find(*block));
  block = nullptr;
}

void PrefixIndex::clear() {
  entries_.clear();
  std::fill(block_of_.begin(), block_of_.end(), nullptr);
}

}  // namespace r1
