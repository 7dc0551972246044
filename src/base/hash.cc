#include "base/hash.h"

// Compiled in, so that nothing of it is linked or needed at run time.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cinttypes>
#include <cstdio>

namespace r1 {

uint64_t xxh3(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string xxh3_hex(std::span<const std::byte> bytes) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, xxh3(bytes));
  return text;
}

}  // namespace r1
