#include "backend/fenced/fenced_memory.h"

#include <sys/mman.h>

#include <iterator>
#include <string>

#include "base/error.h"

namespace r1 {
namespace {

constexpr size_t kReserved = size_t{1} << 36, kSystemPage = 4096;

size_t whole_pages(size_t bytes) {
  return (bytes + kSystemPage - 1) / kSystemPage * kSystemPage;
}

}  // namespace

FencedMemory::FencedMemory() {
  void* const base =
      ::mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw JobError("addresses for fenced memory cannot be had");
  base_ = static_cast<std::byte*>(base);
}

FencedMemory::~FencedMemory() {
  ::munmap(base_, kReserved);
}

void FencedMemory::protect(size_t begin, size_t end, int protection) const noexcept {
  // It cannot fail: the addresses are ours, and neighbours of the same protection stay one mapping.
  if (begin < end) ::mprotect(base_ + begin, end - begin, protection);
}

std::byte* FencedMemory::allocate(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const size_t size = whole_pages(bytes);
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    const auto [begin, end] = *piece;
    if (end - begin < size) continue;
    free_.erase(piece);
    if (end - begin > size) free_.emplace(begin + size, end);
    return base_ + begin;
  }
  if (size < bytes || size > kReserved - top_) {
    throw JobError("out of fenced memory: " + std::to_string(bytes) + " bytes more");
  }
  const size_t begin = top_;
  top_ += size;
  if (inside_ > 0) protect(begin, top_, PROT_READ | PROT_WRITE);
  return base_ + begin;
}

void FencedMemory::free(std::byte* data, size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  size_t begin = static_cast<size_t>(data - base_), end = begin + whole_pages(bytes);
  ::madvise(data, end - begin, MADV_DONTNEED);  // from here on it reads as zeros
  const auto after = free_.lower_bound(begin);
  if (after != free_.end() && after->first == end) {
    end = after->second;
    free_.erase(after);
  }
  const auto next = free_.lower_bound(begin);
  if (next != free_.begin() && std::prev(next)->second == begin) {
    std::prev(next)->second = end;
  } else {
    free_.emplace(begin, end);
  }
}

void FencedMemory::enter() {
  const std::lock_guard lock(mutex_);
  if (inside_++ == 0) protect(0, top_, PROT_READ | PROT_WRITE);
}

void FencedMemory::leave() noexcept {
  const std::lock_guard lock(mutex_);
  if (--inside_ == 0) protect(0, top_, PROT_NONE);
}

bool FencedMemory::holds(const void* data, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  const auto* at = static_cast<const std::byte*>(data);
  return at >= base_ && at + bytes <= base_ + top_;
}

FencedMemory& fenced_memory() {
  static FencedMemory memory;
  return memory;
}

}  // namespace r1
