#include "base/hash.h"

#include <gtest/gtest.h>

namespace r1 {
namespace {

std::span<const std::byte> bytes_of(const std::string& s) {
  return std::as_bytes(std::span(s));
}

// Values of the reference program: `xxhsum -H3`.
TEST(Hash, KnownAnswers) {
  EXPECT_EQ(xxh3(bytes_of("")), 0x2d06800538d394c2u);
  EXPECT_EQ(xxh3_hex(bytes_of("")), "2d06800538d394c2");
  EXPECT_EQ(xxh3_hex(bytes_of("abc")), "78af5f94892f3950");
  EXPECT_EQ(xxh3_hex(bytes_of(std::string(1000, 'r'))), "9bd71b71f00c8d77");
}

TEST(Hash, OneBitChangesIt) {
  std::string text(4096, '\0');
  const uint64_t before = xxh3(bytes_of(text));
  text[4000] = 1;
  EXPECT_NE(xxh3(bytes_of(text)), before);
}

}  // namespace
}  // namespace r1
