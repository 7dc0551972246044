// The two owners of float memory: Buffer, one block of fixed size, and Arena, blocks that are all
// given up together. Everything else (tensor.h) is a view. Both take their memory from an
// Allocator: the host's, or a backend's (Ops::memory), which only its ops may touch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace r1 {

// Alignment of every block, in bytes: a cache line, and the widest vector register.
inline constexpr size_t kBlockAlignment = 64;

// Where memory comes from. Thread-safe.
class Allocator {
 public:
  virtual ~Allocator() = default;
  // `bytes` > 0 zeros, aligned to kBlockAlignment. JobError if they cannot be had.
  virtual std::byte* allocate(size_t bytes) = 0;
  virtual void free(std::byte* data, size_t bytes) noexcept = 0;
};
Allocator& host_memory();

// Memory that starts as zeros. A large buffer gets its pages from the system as they are touched,
// so one that is only partly used costs what is used. Movable, and what it holds stays where it is.
class Buffer {
 public:
  Buffer() = default;
  // JobError if the memory cannot be had. The allocator must outlive the buffer.
  explicit Buffer(size_t bytes, Allocator& memory = host_memory());
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  static Buffer of_floats(int64_t count, Allocator& memory = host_memory());

  // Null if empty. Aligned to kBlockAlignment.
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  float* floats() { return reinterpret_cast<float*>(data_); }
  const float* floats() const { return reinterpret_cast<const float*>(data_); }
  size_t bytes() const { return bytes_; }

 private:
  Allocator* memory_ = nullptr;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// Hands out float blocks one after another. They stay where they are until reset() gives up all of
// them at once. Not thread-safe.
class Arena {
 public:
  static constexpr size_t kChunkBytes = size_t{1} << 20;
  // Memory is taken in chunks of at least chunk_bytes, when needed.
  explicit Arena(Allocator& memory = host_memory(), size_t chunk_bytes = kChunkBytes)
      : memory_(&memory), chunk_bytes_(chunk_bytes) {}
  Arena(Arena&&) = default;
  Arena& operator=(Arena&&) = default;

  // `count` floats, aligned to kBlockAlignment, with unspecified content; never null. JobError if
  // the memory cannot be had.
  float* floats(int64_t count);
  int32_t* ints(int64_t count) { return reinterpret_cast<int32_t*>(floats(count)); }

  // Gives up every block. The memory is kept, joined to one chunk, so that a loop that needs the
  // same blocks each time takes none from the system after its first turns.
  void reset();

  // Bytes in use now, and the most that ever were.
  size_t used() const { return used_; }
  size_t high_water() const { return high_water_; }
  // Bytes taken from the allocator.
  size_t capacity() const;

 private:
  Allocator* memory_;
  size_t chunk_bytes_;
  std::vector<Buffer> chunks_;
  size_t in_last_ = 0;  // bytes handed out of chunks_.back()
  size_t used_ = 0, high_water_ = 0;
};

}  // namespace r1
