#include "text/byte_level.h"

#include <gtest/gtest.h>

namespace r1 {
namespace {

TEST(ByteLevel, KnownCharacters) {
  EXPECT_EQ(byte_level_char(' '), "\u0120");
  EXPECT_EQ(byte_level_char('\n'), "\u010A");
  EXPECT_EQ(byte_level_char(0), "\u0100");
  EXPECT_EQ(byte_level_char(0xAD), "\u0143");
  EXPECT_EQ(byte_level_char('a'), "a");
  EXPECT_EQ(byte_level_char(0xFF), "\u00FF");
}

TEST(ByteLevel, EveryByteComesBack) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  EXPECT_EQ(from_byte_level(to_byte_level(all)), all);
}

TEST(ByteLevel, OtherCharactersAreNotOfTheAlphabet) {
  for (const char* text : {" ", "\u0144", "a\u4F60", "\n", "\u00AD"}) {
    EXPECT_FALSE(from_byte_level(text)) << text;
  }
}

}  // namespace
}  // namespace r1
