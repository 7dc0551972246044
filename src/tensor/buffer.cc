#include "tensor/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"

namespace r1 {
namespace {

// From here on memory comes from mmap: zero pages on demand, and huge ones where the system has
// them, which spares weights and caches the cost of a page-table walk every 4 KiB.
constexpr size_t kMapBytes = size_t{4} << 20;

// The largest size that still fits after rounding up.
constexpr size_t kMaxBytes = std::numeric_limits<size_t>::max() / 2;

size_t round_up(size_t bytes) {
  return (bytes + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment;
}

[[noreturn]] void out_of_memory(size_t bytes) {
  throw JobError("out of memory: " + std::to_string(bytes) + " bytes more cannot be had");
}

size_t float_bytes(int64_t count) {
  R1_CHECK(count >= 0);
  if (static_cast<uint64_t>(count) > kMaxBytes / sizeof(float)) out_of_memory(kMaxBytes);
  return static_cast<size_t>(count) * sizeof(float);
}

class HostMemory : public Allocator {
 public:
  std::byte* allocate(size_t bytes) override {
    if (bytes > kMaxBytes) out_of_memory(bytes);
    void* data;
    if (bytes >= kMapBytes) {
      data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (data == MAP_FAILED) out_of_memory(bytes);
#ifdef MADV_HUGEPAGE
      ::madvise(data, bytes, MADV_HUGEPAGE);  // a hint: no harm where it is refused
#endif
    } else {
      data = std::aligned_alloc(kBlockAlignment, round_up(bytes));
      if (data == nullptr) out_of_memory(bytes);
      std::memset(data, 0, bytes);
    }
    return static_cast<std::byte*>(data);
  }

  void free(std::byte* data, size_t bytes) noexcept override {
    if (bytes >= kMapBytes) {
      ::munmap(data, bytes);
    } else {
      std::free(data);
    }
  }
};

}  // namespace

Allocator& host_memory() {
  static HostMemory memory;
  return memory;
}

Buffer::Buffer(size_t bytes, Allocator& memory) : memory_(&memory), bytes_(bytes) {
  if (bytes > 0) data_ = memory.allocate(bytes);
}

Buffer::~Buffer() {
  if (data_) memory_->free(data_, bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : memory_(other.memory_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer Buffer::of_floats(int64_t count, Allocator& memory) {
  return Buffer(float_bytes(count), memory);
}

float* Arena::floats(int64_t count) {
  const size_t bytes = round_up(std::max<size_t>(float_bytes(count), 1));
  if (chunks_.empty() || chunks_.back().bytes() - in_last_ < bytes) {
    chunks_.emplace_back(std::max(bytes, chunk_bytes_), *memory_);
    in_last_ = 0;
  }
  std::byte* block = chunks_.back().data() + in_last_;
  in_last_ += bytes;
  used_ += bytes;
  high_water_ = std::max(high_water_, used_);
  return reinterpret_cast<float*>(block);
}

void Arena::reset() {
  if (chunks_.size() > 1) {
    // What the blocks needed, not what the chunks held: their unused ends are not needed again.
    const size_t bytes = std::max(high_water_, chunk_bytes_);
    chunks_.clear();
    chunks_.emplace_back(bytes, *memory_);
  }
  in_last_ = 0;
  used_ = 0;
}

size_t Arena::capacity() const {
  size_t bytes = 0;
  for (const Buffer& chunk : chunks_) bytes += chunk.bytes();
  return bytes;
}

}  // namespace r1
