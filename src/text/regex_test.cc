#include "text/regex.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace r1 {
namespace {

// "a|b|[c]": the pieces, matches in brackets.
std::string cut(const std::string& pattern, const std::string& text) {
  const Regex regex = Regex::compile(pattern, "test");
  RegexMatcher matcher(regex);
  std::vector<RegexPiece> pieces;
  matcher.cut(text, pieces);
  std::string out;
  for (const RegexPiece& piece : pieces) {
    const std::string part = text.substr(piece.begin, piece.end - piece.begin);
    out += (out.empty() ? "" : "|") + (piece.is_match ? "[" + part + "]" : part);
  }
  return out;
}

TEST(Regex, CutsIntoMatchesAndGaps) {
  EXPECT_EQ(cut(R"(\p{L}+)", "ab, c\u00e9!"), "[ab]|, |[c\u00e9]|!");
  EXPECT_EQ(cut(R"(\s+(?!\S)|\s+)", "a   b"), "a|[  ]|[ ]|b");
  EXPECT_EQ(cut("x*", "axxb"), "[]|a|[xx]|b|[]");
  EXPECT_EQ(cut("x*", "\u4f60\u597d"), "[]|\u4f60|[]|\u597d|[]");
  EXPECT_EQ(cut("x", ""), "");
}

// What Ruby's syntax means by these, which PCRE2 alone reads otherwise.
TEST(Regex, RubySyntax) {
  EXPECT_EQ(cut(R"(\s)", "a\u180eb"), "a\u180eb");
  EXPECT_EQ(cut(R"([^\s]+)", "a\u180eb \u2003c"), "[a\u180eb]| \u2003|[c]");
  EXPECT_EQ(cut(R"(\w+)", "e\u0301\u00bd"), "[e\u0301]|\u00bd");
  EXPECT_EQ(cut(R"(\h+)", "xFf09 "), "x|[Ff09]| ");
  EXPECT_EQ(cut("(?m:a.b)", "a\nb"), "[a\nb]");
  EXPECT_EQ(cut("a.b", "a\nb"), "a\nb");
  EXPECT_EQ(cut("^b", "a\nb"), "a\n|[b]");
  EXPECT_EQ(cut("ab{,2}c", "abbc abbbc"), "[abbc]| abbbc");
}

TEST(Regex, LiteralAndReplace) {
  const Regex dot = Regex::literal(".", "test");
  EXPECT_EQ(RegexMatcher(dot).replace("a.b.c", "$0"), "a$0b$0c");
  EXPECT_EQ(RegexMatcher(dot).replace("", "x"), "");
}

TEST(Regex, RefusesWhatItCannotHonour) {
  for (const char* pattern : {"(", "[a", "a\\", R"([a-z&&[^b]])", "[a[b]]", "a{1,2}+", R"([\W])",
                              R"(\p{Nonsense})", R"(\C)"}) {
    EXPECT_THROW(Regex::compile(pattern, "test"), InputError) << pattern;
  }
  EXPECT_NO_THROW(Regex::compile(R"([\[\]&a]\{1}\[&&]*(?:p{2}))", "test"));
}

TEST(Regex, GivesUpInsteadOfHanging) {
  EXPECT_THROW(cut("(a+)+$", std::string(40, 'a') + "b"), InputError);
  // A stack deeper than the JIT's own: one match of a megabyte.
  const std::string text(1 << 20, 'a');
  EXPECT_TRUE(cut("(?:a|b)*(?:c|)", text) == "[" + text + "]");
}

}  // namespace
}  // namespace r1
