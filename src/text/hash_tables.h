// Two small open-addressing tables for BPE: they are built once, then only read, and a lookup
// touches one or two cache lines where std::unordered_map follows pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace r1 {

// Bytes to a non-negative int. Owns its keys.
class StringTable {
 public:
  // Room for `keys` keys; inserting more is a bug.
  explicit StringTable(size_t keys = 0);

  // False, changing nothing, where the key is there already. All keys together under 4 GiB.
  bool insert(std::string_view key, int value);
  // The value, or -1.
  int find(std::string_view key) const;
  // Starts to fetch what finding or inserting the key will read.
  void prefetch(std::string_view key) const;

 private:
  struct Slot {
    uint32_t tag = 0;  // upper half of the key's hash
    uint32_t begin = 0, size = 0;
    int32_t value = -1;  // -1: free
  };

  bool holds(const Slot& slot, uint64_t hash, std::string_view key) const;

  std::vector<Slot> slots_;
  std::string keys_;
  size_t count_ = 0;
};

// What two adjacent tokens become. Lower ranks merge first.
struct Merge {
  uint32_t rank;
  int result;
};

inline constexpr uint32_t kNoMerge = UINT32_MAX;

class MergeTable {
 public:
  explicit MergeTable(size_t pairs = 0);

  // A pair given twice keeps its last merge.
  void insert(int left, int right, Merge merge);
  void prefetch(int left, int right) const;
  // rank == kNoMerge where the pair does not merge.
  Merge find(int left, int right) const;

 private:
  struct Slot {
    int left = -1, right = -1;
    Merge merge{kNoMerge, -1};
  };

  size_t slot_of(int left, int right) const;

  std::vector<Slot> slots_;
  int shift_ = 64;
};

}  // namespace r1
