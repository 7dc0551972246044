// Checksums of files and weights: XXH3, 64 bits (https://xxhash.com), the same on every machine.
// Against corruption and for bit-for-bit comparison; not against forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace r1 {

uint64_t xxh3(std::span<const std::byte> bytes);

// As 16 lower-case hexadecimal digits, most significant first: what `xxhsum -H3` prints.
std::string xxh3_hex(std::span<const std::byte> bytes);

}  // namespace r1
