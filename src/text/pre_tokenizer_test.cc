#include "text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/json_node.h"

namespace r1 {
namespace {

std::string words(const std::string& json, const std::string& text, bool at_start = true) {
  const JsonDocument document(json, "test");
  const PreTokenizer pre_tokenizer = PreTokenizer::parse(document.root());
  Words cut(text);
  pre_tokenizer.apply(cut, at_start);
  std::string out;
  for (size_t i = 0; i < cut.size(); ++i) (out += i ? "|" : "") += cut[i];
  return out;
}

std::string split(const std::string& behavior, bool invert) {
  return R"({"type": "Split", "pattern": {"String": "-"}, "behavior": ")" + behavior +
         R"(", "invert": )" + (invert ? "true}" : "false}");
}

TEST(PreTokenizer, SplitBehaviors) {
  const std::string text = "-a--b-";
  EXPECT_EQ(words(split("Isolated", false), text), "-|a|-|-|b|-");
  EXPECT_EQ(words(split("Removed", false), text), "a|b");
  EXPECT_EQ(words(split("MergedWithPrevious", false), text), "-|a-|-|b-");
  EXPECT_EQ(words(split("MergedWithNext", false), text), "-a|-|-b|-");
  EXPECT_EQ(words(split("Contiguous", false), text), "-|a|--|b|-");
  EXPECT_EQ(words(split("Removed", true), text), "-|-|-|-");
  EXPECT_EQ(words(split("MergedWithNext", true), text), "-|a-|-|b-");
}

TEST(PreTokenizer, Types) {
  EXPECT_EQ(words(R"({"type": "Digits", "individual_digits": true})", "a12b"), "a|1|2|b");
  EXPECT_EQ(words(R"({"type": "Digits", "individual_digits": false})", "a12b"), "a|12|b");
  EXPECT_EQ(words(R"({"type": "Whitespace"})", "it's a_b  c."), "it|'|s|a_b|c|.");
  EXPECT_EQ(words(R"({"type": "WhitespaceSplit"})", " it's \u3000a"), "it's|a");
  EXPECT_EQ(words(R"({"type": "Punctuation"})", "a,$b"), "a|,|$|b");
  const std::string gpt2 = R"({"type": "ByteLevel", "add_prefix_space": true})";
  EXPECT_EQ(words(gpt2, "we'll go 42x"), " we|'ll| go| 42|x");
  EXPECT_EQ(words(R"({"type": "Sequence", "pretokenizers": [)" + gpt2 +
                      R"(, {"type": "Digits", "individual_digits": true}]})",
                  "a 42"),
            "\u0120a|\u0120|4|2");
}

TEST(PreTokenizer, Metaspace) {
  const std::string begin = R"({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": )";
  EXPECT_EQ(words(begin + "\"always\"}", "a b  c", false), "\u2581a|\u2581b|\u2581|\u2581c");
  EXPECT_EQ(words(begin + "\"first\"}", "a b", false), "a|\u2581b");
  EXPECT_EQ(words(begin + "\"first\"}", "a b", true), "\u2581a|\u2581b");
  EXPECT_EQ(words(begin + "\"never\", \"split\": false}", " a b"), "\u2581a\u2581b");
}

TEST(PreTokenizer, RefusesUnknown) {
  EXPECT_THROW(words(R"({"type": "BertPreTokenizer"})", "a"), InputError);
  EXPECT_THROW(words(split("Sideways", false), "a"), InputError);
  EXPECT_THROW(words(R"({"type": "Metaspace", "replacement": "ab"})", "a"), InputError);
  EXPECT_THROW(
      words(R"({"type": "Split", "pattern": 5, "behavior": "Isolated", "invert": false})", "a"),
      InputError);
}

}  // namespace
}  // namespace r1
