#include "text/added_tokens.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/json_node.h"

namespace r1 {
namespace {

AddedTokens parse(const Json& json, const Normalizer& normalizer = {}) {
  const JsonDocument document(json.dump(), "test");
  return AddedTokens::parse(document.root(), normalizer,
                            [](std::string_view token) { return token == "the" ? 3 : -1; });
}

// "a|[<s>]|b": tokens in brackets.
std::string split(const TokenFinder& finder, const std::string& text) {
  std::string out;
  for (const TokenFinder::Part& part : finder.split(text)) {
    const std::string piece = text.substr(part.begin, part.end - part.begin);
    out += (out.empty() ? "" : "|") + (part.token ? "[" + piece + "]" : piece);
  }
  return out;
}

Json token(int id, const std::string& content, const std::string& flag = "special") {
  Json json = {{"id", id}, {"content", content}, {"normalized", false}};
  json[flag] = true;
  return json;
}

TEST(AddedTokens, LeftmostThenLongest) {
  const AddedTokens tokens =
      parse(Json::array({token(10, "<t"), token(11, "<tag>"), token(12, "<")}));
  EXPECT_EQ(split(tokens.in_raw_text(), "a<tag>b<tax<"), "a|[<tag>]|b|[<t]|ax|[<]");
  EXPECT_EQ(split(tokens.in_raw_text(), ""), "");
  EXPECT_EQ(split(parse(Json::array()).in_raw_text(), "<t"), "<t");
}

TEST(AddedTokens, Flags) {
  const AddedTokens tokens = parse(Json::array(
      {token(10, "<l>", "lstrip"), token(11, "<r>", "rstrip"), token(3, "the", "single_word")}));
  EXPECT_EQ(split(tokens.in_raw_text(), "a \u3000<l> b <r>  c"), "a|[ \u3000<l>]| b |[<r>  ]|c");
  EXPECT_EQ(split(tokens.in_raw_text(), "<r> <l>"), "[<r> ]|[<l>]");
  EXPECT_EQ(split(tokens.in_raw_text(), "the other the-them"), "[the]| other |[the]|-them");
}

TEST(AddedTokens, NormalizedTokensAreLookedForInNormalizedText) {
  const JsonDocument lowercase(R"({"type": "Lowercase"})", "test");
  const AddedTokens tokens = parse(Json::array({token(10, "DOG", "normalized"), token(11, "CAT")}),
                                   Normalizer::parse(lowercase.root()));
  EXPECT_EQ(split(tokens.in_normalized_text(), "a dog"), "a |[dog]");
  EXPECT_EQ(split(tokens.in_raw_text(), "dog CAT"), "dog |[CAT]");
}

TEST(AddedTokens, RefusesContradictions) {
  EXPECT_THROW(parse(Json::array({token(4, "the")})), InputError);  // the model says 3
  EXPECT_THROW(parse(Json::array({token(10, "x"), token(10, "y")})), InputError);
  EXPECT_THROW(parse(Json::array({token(10, "x"), token(11, "x")})), InputError);
  EXPECT_THROW(parse(Json::array({token(10, "")})), InputError);
  EXPECT_THROW(parse(Json::array({token(-1, "x")})), InputError);
  EXPECT_THROW(parse(Json::array({token(10, std::string(5000, 'x'))})), InputError);
}

}  // namespace
}  // namespace r1
