#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {

TEST(Json, ParsesAndKeepsOrder) {
  EXPECT_EQ(parse_json(R"({"b": [1, 2.5, null], "a": "x"})", "t")["b"][1], 2.5);
  EXPECT_EQ(parse_ordered_json(R"({"b": 1, "a": 2})", "t").dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(parse_json(R"({"a": 1, "a": 2})", "t")["a"], 2);
}

TEST(Json, SaysWhere) {
  EXPECT_EQ(error_of([] { parse_json("{\"a\": }", "rows.jsonl:17"); }),
            "rows.jsonl:17: not valid JSON at byte 7");
  EXPECT_NE(error_of([] { parse_json("", "f"); }), "no error");
  EXPECT_NE(error_of([] { parse_json("{} {}", "f"); }), "no error");
  EXPECT_NE(error_of([] { parse_json("\"\xff\"", "f"); }), "no error");
  EXPECT_NE(error_of([] { parse_ordered_json("[1,]", "f"); }), "no error");
}

TEST(Json, NumberTooLargeForADouble) {
  EXPECT_EQ(error_of([] { parse_json("[1e999]", "f"); }), "f: JSON value out of range");
}

TEST(Json, DepthIsLimited) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(error_of([&] { parse_json(nested(200), "f"); }), "no error");
  EXPECT_EQ(error_of([&] { parse_json(nested(1000), "f"); }), "f: JSON nested deeper than 256");
  EXPECT_EQ(error_of([&] { parse_json(std::string(5000000, '['), "f"); }),
            "f: JSON nested deeper than 256");
}

TEST(Json, UniqueKeys) {
  const auto unique = [](const char* text) { return [=] { parse_json_unique(text, "f"); }; };
  EXPECT_EQ(error_of(unique(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})")), "no error");
  EXPECT_EQ(error_of(unique(R"({"a": {}, "b": 1, "a": 2})")),
            "f: the key \"a\" comes twice in one object");
  EXPECT_EQ(error_of(unique(R"([{"x": {"k": 1, "\u006b": 2}}])")),
            "f: the key \"k\" comes twice in one object");
}

// In time that grows with the text, not with the square of it: headers have 10^5 such members.
TEST(Json, ManyMembers) {
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += "\"" + std::to_string(i) + "\":{\"a\":[0]},";
  text.back() = '}';
  EXPECT_EQ(parse_json_unique(text, "f").size(), 300000u);
}

TEST(Json, QuotedIsOnePrintableLine) {
  EXPECT_EQ(in_quotes("a\"b\n"), R"("a\"b\n")");
  EXPECT_EQ(in_quotes("\x1b[31m"), R"("\u001b[31m")");
  EXPECT_EQ(in_quotes(std::string_view("\xff\0", 2)), R"("\ufffd\u0000")");
  EXPECT_EQ(in_quotes(std::string(100, 'x'), 4), R"("xxxx...")");
}

}  // namespace
}  // namespace r1
