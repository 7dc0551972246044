// For tests only: memory that nobody can read or write but between enter() and leave().
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

#include "tensor/buffer.h"

namespace r1 {

// One region of the address space, so that each way through the fence is one system call. Reading
// or writing it from outside ends the process with SIGSEGV. Thread-safe; while any thread is inside
// all are.
class FencedMemory : public Allocator {
 public:
  // JobError if the addresses cannot be had.
  FencedMemory();
  ~FencedMemory() override;

  std::byte* allocate(size_t bytes) override;
  void free(std::byte* data, size_t bytes) noexcept override;

  void enter();
  void leave() noexcept;
  // Whether [data, data + bytes) lies in what was allocated.
  bool holds(const void* data, size_t bytes) const;

 private:
  void protect(size_t begin, size_t end, int protection) const noexcept;

  mutable std::mutex mutex_;
  std::byte* base_ = nullptr;
  size_t top_ = 0;                 // all that was ever handed out lies below
  std::map<size_t, size_t> free_;  // pieces below it that are free: where each begins and ends
  int inside_ = 0;
};

// The one that all fenced backends of the process share, as models pass from one to another.
FencedMemory& fenced_memory();

}  // namespace r1
