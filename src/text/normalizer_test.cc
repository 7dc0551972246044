#include "text/normalizer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/json_node.h"

namespace r1 {
namespace {

std::string normalize(const std::string& json, const std::string& text) {
  const JsonDocument document(json, "test");
  return Normalizer::parse(document.root()).apply(text);
}

TEST(Normalizer, UnicodeForms) {
  EXPECT_EQ(normalize(R"({"type": "NFC"})", "cafe\u0301 \u212b x"), "caf\u00e9 \u00c5 x");
  EXPECT_EQ(normalize(R"({"type": "NFD"})", "caf\u00e9"), "cafe\u0301");
  EXPECT_EQ(normalize(R"({"type": "NFKC"})", "\ufb01n \uff21"), "fin A");
  EXPECT_EQ(normalize(R"({"type": "NFKD"})", "\u1e9b\u0323"), "s\u0323\u0307");
  EXPECT_EQ(normalize(R"({"type": "NFC"})", "\u1100\u1161\u11a8"), "\uac01");
  // A mark after ASCII at a boundary between runs, and at both ends.
  EXPECT_EQ(normalize(R"({"type": "NFC"})", "\u0301ae\u0301be\u0301"), "\u0301a\u00e9b\u00e9");
}

TEST(Normalizer, OtherSteps) {
  EXPECT_EQ(normalize(R"({"type": "Lowercase"})", "H\u00c9\u0130"), "h\u00e9i\u0307");
  EXPECT_EQ(
      normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", "\u3000 a b \n"),
      "a b");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " \t"), "");
  EXPECT_EQ(normalize(R"({"type": "ByteLevel"})", " a"), "\u0120a");
  const std::string llama = R"({"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "_"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]})";
  EXPECT_EQ(normalize(llama, "a b"), "_a_b");
  EXPECT_EQ(normalize(llama, ""), "");
}

TEST(Normalizer, UnknownTypeIsNamed) {
  try {
    normalize(R"({"type": "Sequence", "normalizers": [{"type": "Nmt"}]})", "");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_STREQ(e.what(), "test: normalizers[0]: unknown normalizer \"Nmt\"");
  }
}

}  // namespace
}  // namespace r1
