// Which pages hold the keys and values of which tokens, so that a request that begins as another
// did takes its full pages as they are. A block is the kPageSize tokens of one page; its keys
// depend on all tokens before it, so a block is known by its own ids and by the block before it: a
// trie whose edges are hashed and compared in full.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/layout.h"

namespace r1 {

// The tokens of a sequence: those it was given and those that were written.
struct TokenView {
  std::span<const int32_t> prompt, written;

  int64_t size() const { return static_cast<int64_t>(prompt.size() + written.size()); }
  int32_t operator[](int64_t i) const {
    const size_t at = static_cast<size_t>(i);
    return at < prompt.size() ? prompt[at] : written[at - prompt.size()];
  }
};

class PrefixIndex {
 public:
  explicit PrefixIndex(int64_t pages) : block_of_(static_cast<size_t>(pages), nullptr) {}

  // A block that is in the index. Its number is never given to another.
  struct Entry {
    int32_t page = 0;
    uint64_t number = 0;
  };
  // The first block of a sequence has kStart before it.
  static constexpr uint64_t kStart = 0;
  using Ids = std::array<int32_t, kPageSize>;

  std::optional<Entry> find(uint64_t before, const Ids& ids) const;
  // The number of this block: where another page holds it already, of that one, and `page` stays
  // unknown.
  uint64_t insert(uint64_t before, const Ids& ids, int32_t page);
  bool holds(int32_t page) const { return block_of_[static_cast<size_t>(page)] != nullptr; }
  // The page's block is no longer in it. What followed it cannot be found any more.
  void forget(int32_t page);
  void clear();

 private:
  struct Block {
    uint64_t before;
    Ids ids;
    bool operator==(const Block&) const = default;
  };
  struct Hash {
    size_t operator()(const Block& block) const;
  };

  std::unordered_map<Block, Entry, Hash> entries_;
  std::vector<const Block*> block_of_;  // a page's, in entries_; null: it is not in the index
  uint64_t next_number_ = kStart + 1;
};

}  // namespace r1
