#include "text/hash_tables.h"

#include <bit>
#include <cstring>

#include "base/error.h"

namespace r1 {
namespace {

// At most half full, so that probing stays short.
size_t slots_for(size_t keys) {
  return std::bit_ceil(keys * 2 + 2);
}

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <class T>
T load(const char* p) {
  T out;
  std::memcpy(&out, p, sizeof out);
  return out;
}

// Multiply-and-fold over 8-byte words, after wyhash.
uint64_t hash(std::string_view key) {
  constexpr uint64_t kA = 0xa0761d6478bd642f, kB = 0xe7037ed1a0b428db;
  uint64_t h = key.size() * kB;
  const char* p = key.data();
  size_t n = key.size();
  for (; n >= 8; n -= 8, p += 8) h = mix(h ^ load<uint64_t>(p), kA);
  // The 0 to 7 bytes that are left, in reads that may overlap.
  uint64_t word = 0;
  if (n >= 4) {
    word = static_cast<uint64_t>(load<uint32_t>(p)) << 32 | load<uint32_t>(p + n - 4);
  } else if (n > 0) {
    const auto byte = [p](size_t at) { return static_cast<unsigned char>(p[at]); };
    word = static_cast<uint64_t>(byte(0)) << 16 | byte(n / 2) << 8 | byte(n - 1);
  }
  return mix(h ^ word, kB);
}

}  // namespace

StringTable::StringTable(size_t keys) : slots_(slots_for(keys)) {}

bool StringTable::holds(const Slot& slot, uint64_t hash, std::string_view key) const {
  return slot.tag == static_cast<uint32_t>(hash >> 32) && slot.size == key.size() &&
         std::memcmp(keys_.data() + slot.begin, key.data(), key.size()) == 0;
}

bool StringTable::insert(std::string_view key, int value) {
  R1_CHECK(value >= 0 && (++count_) * 2 <= slots_.size());
  R1_CHECK(keys_.size() + key.size() <= UINT32_MAX);
  const uint64_t h = hash(key);
  const size_t mask = slots_.size() - 1;
  size_t at = h & mask;
  for (; slots_[at].value >= 0; at = (at + 1) & mask) {
    if (holds(slots_[at], h, key)) return --count_, false;
  }
  slots_[at] = {static_cast<uint32_t>(h >> 32), static_cast<uint32_t>(keys_.size()),
                static_cast<uint32_t>(key.size()), value};
  keys_ += key;
  return true;
}

int StringTable::find(std::string_view key) const {
  const uint64_t h = hash(key);
  const size_t mask = slots_.size() - 1;
  for (size_t at = h & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.value < 0) return -1;
    if (holds(slot, h, key)) return slot.value;
  }
}

void StringTable::prefetch(std::string_view key) const {
  __builtin_prefetch(&slots_[hash(key) & (slots_.size() - 1)]);
}

MergeTable::MergeTable(size_t pairs)
    : slots_(slots_for(pairs)), shift_(64 - std::countr_zero(slots_.size())) {}

size_t MergeTable::slot_of(int left, int right) const {
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  return mix(key ^ 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93) >> shift_;
}

void MergeTable::prefetch(int left, int right) const {
  __builtin_prefetch(&slots_[slot_of(left, right)]);
}

void MergeTable::insert(int left, int right, Merge merge) {
  const size_t mask = slots_.size() - 1;
  size_t at = slot_of(left, right);
  while (slots_[at].left >= 0 && !(slots_[at].left == left && slots_[at].right == right)) {
    at = (at + 1) & mask;
  }
  slots_[at] = {left, right, merge};
}

Merge MergeTable::find(int left, int right) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = slot_of(left, right);; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.left == left && slot.right == right) return slot.merge;
    if (slot.left < 0) return {kNoMerge, -1};
  }
}

}  // namespace r1
