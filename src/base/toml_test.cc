#include "base/toml.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace r1 {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_toml(text, "f.toml");
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Toml, ValuesAndLines) {
  const TomlDocument d = parse_toml("a = 1\nb.c = [1.5, \"x\"]\n\n[[t]]\nk = true\n", "f.toml");
  EXPECT_EQ(d.values, parse_json(R"({"a":1,"b":{"c":[1.5,"x"]},"t":[{"k":true}]})", "t"));
  EXPECT_TRUE(d.values["a"].is_number_integer());
  EXPECT_EQ(d.location("a"), "f.toml:1");
  EXPECT_EQ(d.location("b.c"), "f.toml:2");
  EXPECT_EQ(d.location("t.0.k"), "f.toml:5");
  EXPECT_EQ(d.location("none"), "f.toml");
}

TEST(Toml, BadFiles) {
  EXPECT_EQ(error_of("a = 1\na = 2").substr(0, 25), "f.toml:2: not valid TOML:");
  EXPECT_NE(error_of("a = \"\xff\""), "no error");
  EXPECT_NE(error_of("a = [1, "), "no error");
  EXPECT_NE(error_of("a = 99999999999999999999"), "no error");
  EXPECT_EQ(error_of("d = 2024-01-01"), "f.toml:1: \"d\": expected no date or time, found one");
  EXPECT_EQ(error_of(std::string(600, 'k') + " = 1").substr(0, 10), "f.toml:1: ");
  EXPECT_THROW(read_toml_file("/nonexistent.toml"), InputError);
}

// toml++ overflows the stack on a key of half a million dots, however it is hidden.
TEST(Toml, DeepKeys) {
  std::string dots = "a";
  for (int i = 0; i < 500000; ++i) dots += ".a";
  EXPECT_EQ(error_of("x = 1\n" + dots + " = 1"),
            "f.toml:2: expected at most 32 dots in a key, found more");
  for (const std::string& before :
       {std::string("["), std::string("x = \"\\\"\" # '\n"),
        std::string("x = { y = \"\"\"\"z\"\"\"\", "), std::string("x = { y = '''''z''''', "),
        std::string("x = \"\"\"\n'\"\"\"\n"), std::string("x = [{ ")}) {
    EXPECT_NE(error_of(before + dots + " = 1"), "no error") << before;
  }
  EXPECT_EQ(error_of("x = \"" + dots + "\" # " + dots), "no error");
  EXPECT_EQ(error_of("x = '''\n" + dots + "''' # " + dots), "no error");
  std::string nested = "x = ";
  for (int i = 0; i < 100000; ++i) nested += "[{a.b=";
  EXPECT_NE(error_of(nested), "no error");
}

// Any mix of the characters that matter: an error or a document, never a crash.
TEST(Toml, RandomText) {
  constexpr std::string_view kPieces[] = {"a",   ".",    "=",  "\"", "'", "\"\"\"",   "'''", "\\",
                                          "\n",  "[",    "]",  "{",  "}", ",",        "#",   " 1",
                                          "1.5", "true", "[[", "]]", " ", "\xc2\xa0", "\r"};
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    std::string text;
    for (int i = 0; i < 24; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      text += kPieces[(state >> 33) % std::size(kPieces)];
    }
    error_of(text);
  }
}

TEST(Toml, Values) {
  EXPECT_EQ(toml_value(1.0), "1.0");
  EXPECT_EQ(toml_value(1e-4), "1e-04");
  EXPECT_EQ(toml_value(1e300), "1e+300");
  EXPECT_EQ(toml_value(-3), "-3");
  EXPECT_EQ(toml_value(std::nan("")), "nan");
  EXPECT_EQ(toml_value("a\"\\\n\x1f"), "\"a\\\"\\\\\\n\\u001F\"");
  EXPECT_EQ(toml_value(Json::array({1, "x", true})), "[1, \"x\", true]");
  EXPECT_EQ(toml_value(Json{{"a", 1}, {"b c", 2}}), "{ a = 1, \"b c\" = 2 }");
  for (const double x : {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e21, 123456789.0}) {
    const Json back = parse_toml("v = " + toml_value(x), "t").values["v"];
    ASSERT_TRUE(back.is_number_float()) << x;
    EXPECT_EQ(std::signbit(back.get<double>()), std::signbit(x));
    EXPECT_EQ(back.get<double>(), x);
  }
}

}  // namespace
}  // namespace r1
