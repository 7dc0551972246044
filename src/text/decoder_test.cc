#include "text/decoder.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/json_node.h"
#include "text/unicode.h"

namespace r1 {
namespace {

// What each push gives, then finish, as "a|b|c".
std::string decode(const std::string& json, const std::vector<std::string>& tokens) {
  const JsonDocument document(json, "test");
  const Decoder decoder = Decoder::parse(document.root());
  Decoder::Stream stream(decoder);
  std::string out;
  for (const std::string& token : tokens) {
    const std::string text = stream.push(token);
    EXPECT_TRUE(is_utf8(text));
    out += text + "|";
  }
  return out + stream.finish();
}

std::string sequence(const std::string& items) {
  return R"({"type": "Sequence", "decoders": [)" + items + "]}";
}

TEST(Decoder, ByteLevelNeverEmitsHalfACharacter) {
  const std::string json = R"({"type": "ByteLevel"})";
  EXPECT_EQ(decode(json, {"\u0120a", "\u00f0\u0141", "\u00a6", "\u013b!", "\u00e4"}),
            " a|||\U0001f999!||\ufffd");  // 20 61, F0 9F, A6, 99 21, E4
}

TEST(Decoder, ByteFallbackHoldsARun) {
  const std::string json = R"({"type": "ByteFallback"})";
  EXPECT_EQ(decode(json, {"a", "<0xC3>", "<0xA9>", "b"}), "a|||\u00e9b|");
  EXPECT_EQ(decode(json, {"<0xC3>", "<0xA9>", "<0xFF>"}), "|||\ufffd\ufffd\ufffd");
  EXPECT_EQ(decode(json, {"<0xZZ>", "<0x1>"}), "<0xZZ>|<0x1>|");
}

TEST(Decoder, StripAcrossFusedTokens) {
  const std::string strip = R"({"type": "Strip", "content": " ", "start": 1, "stop": 2})";
  EXPECT_EQ(decode(sequence(R"({"type": "Fuse"}, )" + strip), {" ", " a ", " ", " ", "b ", " "}),
            "| a|| |  b||");
  EXPECT_EQ(decode(strip, {"  a  ", " ", "b"}), " a||b|");
}

TEST(Decoder, ReplaceAfterFuseWaitsForTheEnd) {
  const std::string json = sequence(
      R"({"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": "x"})");
  EXPECT_EQ(decode(json, {"a", "b", "a"}), "|||xa");
}

TEST(Decoder, Others) {
  EXPECT_EQ(decode(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"})",
                   {"_a", "_b", "c_"}),
            "a| b|c |");
  EXPECT_EQ(decode(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})",
                   {"_a", "_b"}),
            " a| b|");
  EXPECT_EQ(decode(R"({"type": "BPEDecoder", "suffix": "/w"})", {"a", "b/w", "c/w"}), "|a|b |c");
}

TEST(Decoder, WithoutOneTokensAreJoinedBySpaces) {
  const Decoder decoder;
  Decoder::Stream stream(decoder);
  EXPECT_EQ(stream.push("a"), "a");
  EXPECT_EQ(stream.push("b"), " b");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Decoder, RefusesUnknown) {
  EXPECT_THROW(decode(R"({"type": "WordPiece"})", {}), InputError);
  EXPECT_THROW(decode(R"({"type": "Strip", "content": "ab", "start": 0, "stop": 0})", {}),
               InputError);
  EXPECT_THROW(decode(R"({"type": "Strip", "content": "a", "start": -1, "stop": 0})", {}),
               InputError);
  EXPECT_THROW(decode(R"({"type": "BPEDecoder", "suffix": ""})", {}), InputError);
}

}  // namespace
}  // namespace r1
