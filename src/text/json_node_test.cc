#include "text/json_node.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {

TEST(JsonNode, ReadsFields) {
  const JsonDocument json(R"({"a": {"b": ["x", 7, true, null]}, "n": null})", "file");
  const JsonNode root = json.root();
  const auto items = root.at("a").at("b").items();
  EXPECT_EQ(items[0].string(), "x");
  EXPECT_EQ(items[1].integer(0, 7), 7);
  EXPECT_TRUE(items[2].boolean());
  EXPECT_FALSE(root.find("n"));
  EXPECT_FALSE(root.find("absent"));
  EXPECT_TRUE(root.boolean("absent", true));
}

TEST(JsonNode, ErrorsSayWhere) {
  const JsonDocument json(R"({"a": {"b": ["x", 1.5, 18446744073709551615, -1]}})", "file");
  const JsonNode root = json.root();
  const auto items = root.at("a").at("b").items();
  EXPECT_EQ(error_of([&] { root.at("c"); }), "file: the field \"c\" is missing");
  EXPECT_EQ(error_of([&] { root.at("a").string(); }), "file: a: expected a string, came object");
  EXPECT_EQ(error_of([&] { items[0].boolean(); }),
            "file: a.b[0]: expected true or false, came \"x\"");
  EXPECT_EQ(error_of([&] { items[1].integer(0, 9); }),
            "file: a.b[1]: expected an integer from 0 to 9, came 1.5");
  EXPECT_EQ(error_of([&] { items[3].integer(0, 9); }),
            "file: a.b[3]: expected an integer from 0 to 9, came -1");
  EXPECT_EQ(error_of([&] { items[2].integer(0, INT64_MAX); }),
            "file: a.b[2]: expected an integer from 0 to 9223372036854775807, came "
            "18446744073709551615");
  EXPECT_EQ(error_of([&] { root.items(); }), "file: expected an array, came object");
}

TEST(JsonNode, TextThatIsNotJson) {
  const auto error = [](const std::string& text) {
    return error_of([&] { JsonDocument(text, "file"); });
  };
  EXPECT_EQ(error("{\"a\": }"), "file: not valid JSON at byte 7");
  EXPECT_EQ(error(std::string(1000, '[')), "file: JSON nested deeper than 256");
  EXPECT_EQ(error("[1e999]"), "file: JSON value out of range");
  for (const char* text : {"", "{} {}", "[1,]", "\"\xff\"", "\"\\ud800\"", "nul"}) {
    EXPECT_NE(error(text), "no error") << text;
  }
  // What only one of the two readers refuses.
  EXPECT_EQ(error("[123456789012345678901234567890]").substr(0, 22), "file: not valid JSON: ");
}

}  // namespace
}  // namespace r1
