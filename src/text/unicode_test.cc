#include "text/unicode.h"

#include <gtest/gtest.h>

#include <vector>

namespace r1 {
namespace {

const std::string kBad(kReplacementUtf8);

TEST(Unicode, EveryCodePointSurvives) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Step step = utf8_step(text + "x");
    ASSERT_TRUE(step.valid && step.code_point == c && step.size == text.size()) << uint32_t{c};
  }
}

// The expected texts are those of Python's bytes.decode(errors="replace").
TEST(Unicode, IllFormedBytesBecomeOneReplacementAMaximalSubpart) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\xFF"
       "b",
       "a" + kBad + "b"},
      {"\xC0\xAF", kBad + kBad},                        // overlong
      {"\xED\xA0\x80", kBad + kBad + kBad},             // surrogate
      {"\xF4\x90\x80\x80", kBad + kBad + kBad + kBad},  // over U+10FFFF
      {"\xF0\x9F\xA6", kBad},                           // truncated
      {"\xE4\xBD"
       "A",
       kBad + "A"},
      {"\xF0\x9F\xE4\xBD\xA0", kBad + "\xE4\xBD\xA0"},
      {"\x80\x80", kBad + kBad},
  };
  for (const auto& [bytes, text] : cases) {
    EXPECT_FALSE(is_utf8(bytes));
    EXPECT_EQ(to_utf8_lossy(bytes), text);
  }
  EXPECT_TRUE(is_utf8("ASCII that is longer than a word, \xC3\xA9, \xF0\x9F\xA6\x99"));
}

TEST(Unicode, StreamIsTheWholeInAnyCut) {
  const std::string bytes =
      "a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\xA6\x99\xE4\xBD"
      "b\xF0\x9F\xFF\xE4";
  const std::string whole = to_utf8_lossy(bytes);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    for (size_t cut2 = cut; cut2 <= bytes.size(); ++cut2) {
      Utf8Stream stream;
      std::string out = stream.push(bytes.substr(0, cut));
      EXPECT_TRUE(is_utf8(out));
      out += stream.push(bytes.substr(cut, cut2 - cut));
      out += stream.push(bytes.substr(cut2));
      EXPECT_EQ(out + stream.finish(), whole);
    }
  }
}

TEST(Unicode, Properties) {
  EXPECT_TRUE(is_white_space(0x3000) && is_white_space('\v') && is_white_space(0x85));
  EXPECT_FALSE(is_white_space(0x180E) || is_white_space(0x200B));
  EXPECT_TRUE(is_numeric(0xBD) && is_numeric(0x2167) && is_numeric('7'));
  EXPECT_FALSE(is_numeric('x') || is_numeric(0x4E00));
  EXPECT_TRUE(is_punctuation('$') && is_punctuation(0x3002) && is_punctuation(0xAB));
  EXPECT_FALSE(is_punctuation(0x20AC) || is_punctuation('a'));
  EXPECT_TRUE(is_word('_') && is_word(0x301) && is_word(0x200D) && is_word(0x24B6));
  EXPECT_FALSE(is_word('-') || is_word(0xBD) || is_word(' '));
}

}  // namespace
}  // namespace r1
