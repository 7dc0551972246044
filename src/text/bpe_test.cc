#include "text/bpe.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"
#include "base/rng.h"
#include "text/json_node.h"

namespace r1 {
namespace {

Bpe make(const Json& json, bool raw_bytes = false) {
  const JsonDocument document(Json({{"model", json}}).dump(), "test");
  return Bpe::parse(document.root().at("model"), raw_bytes);
}

std::vector<int> encode(const Bpe& bpe, std::string_view word) {
  Bpe::Scratch scratch;
  std::vector<int> ids;
  bpe.encode(word, scratch, ids);
  return ids;
}

std::string error_of(const std::string& json) {
  try {
    make(Json::parse(json));
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

using Ids = std::vector<int>;

TEST(Bpe, MergesByRankThenFromTheLeft) {
  const Bpe bpe = make(Json::parse(R"({"vocab": {"a": 0, "b": 1, "ab": 2, "ba": 3, "aa": 4},
                                       "merges": ["b a", ["a", "b"], "a a"]})"));
  EXPECT_EQ(encode(bpe, "aba"), (Ids{0, 3}));
  EXPECT_EQ(encode(bpe, "aaa"), (Ids{4, 0}));
  EXPECT_EQ(encode(bpe, "abab"), (Ids{0, 3, 1}));
  EXPECT_EQ(encode(bpe, "ab"), (Ids{2}));
  EXPECT_EQ(encode(bpe, ""), (Ids{}));
}

// The definition, slowly: the leftmost pair of lowest rank, again and again.
Ids by_definition(Ids ids, const std::vector<std::pair<std::pair<int, int>, int>>& merges) {
  for (;;) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t r = 0; r < best; ++r) {
        if (merges[r].first == std::pair(ids[i], ids[i + 1])) best = r, at = i;
      }
    }
    if (best == merges.size()) return ids;
    ids[at] = merges[best].second;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, ShortAndLongWordsFollowTheDefinition) {
  Rng rng(3);
  Json json = {{"vocab", {{"a", 0}, {"b", 1}, {"c", 2}}}, {"merges", Json::array()}};
  std::vector<std::string> tokens = {"a", "b", "c"};
  std::vector<std::pair<std::pair<int, int>, int>> merges;
  while (tokens.size() < 40) {
    const auto left = static_cast<int>(rng.below(tokens.size()));
    const auto right = static_cast<int>(rng.below(tokens.size()));
    const std::string token =
        tokens[static_cast<size_t>(left)] + tokens[static_cast<size_t>(right)];
    if (json["vocab"].contains(token) || token.size() > 6) continue;
    const auto id = static_cast<int>(tokens.size());
    json["vocab"][token] = id;
    json["merges"].push_back(tokens[static_cast<size_t>(left)] + " " +
                             tokens[static_cast<size_t>(right)]);
    merges.push_back({{left, right}, id});
    tokens.push_back(token);
  }
  const Bpe bpe = make(json);
  for (int round = 0; round < 300; ++round) {
    std::string word;
    Ids symbols;
    for (uint64_t n = rng.below(120); n > 0; --n) {
      symbols.push_back(static_cast<int>(rng.below(3)));
      word += static_cast<char>('a' + symbols.back());
    }
    EXPECT_EQ(encode(bpe, word), by_definition(symbols, merges)) << word;
  }
}

TEST(Bpe, IgnoreMergesTakesWholeWords) {
  Json json = Json::parse(R"({"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": []})");
  EXPECT_EQ(encode(make(json), "ab"), (Ids{0, 1}));
  json["ignore_merges"] = true;
  EXPECT_EQ(encode(make(json), "ab"), (Ids{2}));
  EXPECT_EQ(encode(make(json), "aba"), (Ids{0, 1, 0}));
}

TEST(Bpe, UnknownCharacters) {
  Json json = Json::parse(R"({"vocab": {"a": 0, "?": 1, "<0xC3>": 2, "<0xA9>": 3}, "merges": []})");
  EXPECT_EQ(encode(make(json), "axya"), (Ids{0, 0}));  // no unk_token: dropped
  json["unk_token"] = "?";
  EXPECT_EQ(encode(make(json), "axya"), (Ids{0, 1, 1, 0}));
  json["fuse_unk"] = true;
  EXPECT_EQ(encode(make(json), "axya"), (Ids{0, 1, 0}));
  json["byte_fallback"] = true;
  EXPECT_EQ(encode(make(json), "a\u00e9\u00e8"), (Ids{0, 2, 3, 1}));
  json["unk_token"] = "absent";
  EXPECT_THROW(encode(make(json), "x"), InputError);
}

TEST(Bpe, AMegabyteWordIsNotQuadratic) {
  const Bpe bpe = make(Json::parse(R"({"vocab": {"a": 0, "aa": 1, "aaaa": 2, "aaa": 3},
                                       "merges": ["a a", "aa aa", "aa a"]})"));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(encode(bpe, std::string(1 << 20, 'a')), Ids(1 << 18, 2));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Bpe, ContradictionsAreNamed) {
  EXPECT_EQ(error_of(R"({"type": "Unigram", "vocab": {}, "merges": []})"),
            "test: model.type: unknown model \"Unigram\"; only \"BPE\" is supported");
  EXPECT_EQ(error_of(R"({"vocab": {"a": 0, "b": 0}, "merges": []})"),
            "test: model.vocab[\"b\"]: the id 0 belongs to \"a\" already");
  EXPECT_EQ(error_of(R"({"vocab": {"a": 99999999}, "merges": []})"),
            "test: model.vocab[\"a\"]: expected an integer from 0 to 65535, came 99999999");
  EXPECT_EQ(error_of(R"({"vocab": {"a": "0"}, "merges": []})"),
            "test: model.vocab[\"a\"]: expected an integer from 0 to 65535, came \"0\"");
  EXPECT_EQ(error_of(R"({"vocab": {"a": 0}, "merges": ["a a"]})"),
            "test: model.merges[0]: the vocabulary has no token \"aa\"");
  EXPECT_EQ(error_of(R"({"vocab": {"a": 0}, "merges": ["a  a"]})"),
            "test: model.merges[0]: expected two tokens and one space, came \"a  a\"");
  EXPECT_EQ(error_of(R"({"vocab": {"a": 0}, "merges": [["a", 1]]})"),
            "test: model.merges[0]: expected two strings");
  EXPECT_EQ(error_of(R"({"vocab": {"a": 0}})"), "test: model: the field \"merges\" is missing");
}

}  // namespace
}  // namespace r1
