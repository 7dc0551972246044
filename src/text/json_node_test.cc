#include "text/json_node.h"

#include <gtest/gtest.h>


#include "base/error.h"
#include "base/testing.h"

namespace r1 {
namespace {

TEST(JsonNode, ReadsFields) {
  const Json json = Json::parse(R"({"a": {"b": ["x", 7, true, null]}, "n": null})");
  const JsonNode root(json, "file");
  const auto items = root.at("a").at("b").items();
  EXPECT_EQ(items[0].string(), "x");
  EXPECT_EQ(items[1].integer(0, 7), 7);
  EXPECT_TRUE(items[2].boolean());
  EXPECT_FALSE(root.find("n"));
  EXPECT_FALSE(root.find("absent"));
  EXPECT_TRUE(root.boolean("absent", true));
}

TEST(JsonNode, ErrorsSayWhere) {
  const Json json = Json::parse(R"({"a": {"b": ["x", 1.5, 9e18, -1]}})");
  const JsonNode root(json, "file");
  const auto items = root.at("a").at("b").items();
  EXPECT_EQ(error_of([&] { root.at("c"); }), "file: the field \"c\" is missing");
  EXPECT_EQ(error_of([&] { root.at("a").string(); }), "file: a: expected a string, came object");
  EXPECT_EQ(error_of([&] { items[0].boolean(); }),
            "file: a.b[0]: expected true or false, came \"x\"");
  EXPECT_EQ(error_of([&] { items[1].integer(0, 9); }),
            "file: a.b[1]: expected an integer from 0 to 9, came 1.5");
  EXPECT_EQ(error_of([&] { items[3].integer(0, 9); }),
            "file: a.b[3]: expected an integer from 0 to 9, came -1");
  EXPECT_EQ(error_of([&] { root.items(); }), "file: expected an array, came object");
}

}  // namespace
}  // namespace r1
