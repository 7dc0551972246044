#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/testing.h"
#include "text/number_tokenizer.h"
#include "text/unicode.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int>;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip) {
  StreamDecoder stream(tokenizer, skip);
  std::string out;
  for (const int id : ids) {
    const std::string text = stream.push(id);
    EXPECT_TRUE(is_utf8(text));
    out += text;
  }
  return out + stream.finish();
}

struct Golden {
  std::string name, tokenizer_json;
  Json cases;
};

// Written by tests/fixtures/tokenizer_cases.py from Hugging Face tokenizers.
std::vector<Golden> goldens() {
  const fs::path path = fs::path(R1_SOURCE_DIR) / "src/text/testdata/tokenizer_cases.json";
  const Json json = Json::parse(read(path));
  std::vector<Golden> out;
  for (const Json& entry : json["tokenizers"]) {
    Json whole = entry["config"];
    whole["model"] = json["models"][entry["model"].get<std::string>()];
    out.push_back({entry["name"], whole.dump(), entry["cases"]});
  }
  return out;
}

TEST(Tokenizer, GivesTheIdsAndTextsOfTheReference) {
  const auto all = goldens();
  ASSERT_GE(all.size(), 60u);
  int cases = 0;
  for (const Golden& golden : all) {
    SCOPED_TRACE(golden.name);
    const Tokenizer tokenizer = Tokenizer::parse(golden.tokenizer_json, golden.name);
    EXPECT_EQ(tokenizer.json(), golden.tokenizer_json);
    for (const Json& c : golden.cases) {
      const auto text = c["text"].get<std::string>();
      SCOPED_TRACE(text);
      const auto ids = c["ids"].get<Ids>();
      const auto special = c.value("special_ids", ids);
      const auto decoded = c.value("decoded", text);
      EXPECT_EQ(tokenizer.encode(text), ids);
      EXPECT_EQ(tokenizer.encode(text, true), special);
      EXPECT_EQ(tokenizer.decode(special), decoded);
      EXPECT_EQ(tokenizer.decode(special, true), c.value("skipped", decoded));
      EXPECT_EQ(streamed(tokenizer, special, false), decoded);
      ++cases;
    }
  }
  EXPECT_GE(cases, 700);
}

TEST(Tokenizer, GivesTheIdsOfPublishedTokenizers) {
  const fs::path folder = fs::path(R1_SOURCE_DIR) / "../shared/data/tokenizers";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder << ": the published files are absent";
  for (const char* name : {"gpt-2", "deepseek-r1-distill-qwen"}) {
    SCOPED_TRACE(name);
    const Tokenizer tokenizer = Tokenizer::load(folder / name / "tokenizer.json");
    const Json cases = Json::parse(read(folder / name / "cases.json"));
    ASSERT_GE(cases.size(), 40u);
    for (const Json& c : cases) {
      const auto text = c["text"].get<std::string>();
      const auto ids = c["ids"].get<Ids>();
      EXPECT_EQ(tokenizer.encode(text), ids) << text;
      EXPECT_EQ(streamed(tokenizer, ids, false), tokenizer.decode(ids)) << text;
      EXPECT_EQ(tokenizer.encode(tokenizer.decode(ids)), ids) << text;
    }
    EXPECT_EQ(tokenizer.json(), read(folder / name / "tokenizer.json"));
  }
}

Tokenizer numbers() {
  return Tokenizer::parse(number_tokenizer_json(), "numbers");
}

TEST(Tokenizer, IdsAndTokens) {
  const Tokenizer tokenizer = numbers();
  const int end = tokenizer.vocab_size() - 5;
  EXPECT_EQ(tokenizer.token_to_id(kEndOfText), end);
  EXPECT_EQ(tokenizer.id_to_token(end), kEndOfText);
  EXPECT_EQ(tokenizer.token_to_id("\u012056"), tokenizer.encode(" 56")[0]);
  EXPECT_FALSE(tokenizer.token_to_id("absent"));
  for (const int id : {-1, tokenizer.vocab_size(), INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(tokenizer.id_to_token(id), "");
    EXPECT_FALSE(tokenizer.is_special(id));
    EXPECT_EQ(tokenizer.decode({{id}}), "");
  }
  const Ids ids = tokenizer.encode("7<|endoftext|>");
  EXPECT_EQ(tokenizer.decode(ids), "7<|endoftext|>");
  EXPECT_EQ(tokenizer.decode(ids, true), "7");
}

TEST(Tokenizer, BytesThatAreNoUtf8) {
  const Tokenizer tokenizer = numbers();
  EXPECT_EQ(tokenizer.encode("a\xFF\xE4\xBD"), tokenizer.encode("a\ufffd\ufffd"));
  const Ids half = {tokenizer.token_to_id("\u00e4").value(), tokenizer.token_to_id("a").value()};
  EXPECT_EQ(tokenizer.decode(half), "\ufffda");
  Rng rng(5);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(rng.below(40), '\0');
    for (char& c : bytes) c = static_cast<char>(rng.below(256));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), to_utf8_lossy(bytes));
    Ids ids(rng.below(40));
    for (int& id : ids) id = static_cast<int>(rng.below(500));
    EXPECT_EQ(streamed(tokenizer, ids, true), tokenizer.decode(ids, true));
  }
}

TEST(Tokenizer, OneTokenizerOnManyThreads) {
  const Tokenizer tokenizer = numbers();
  const std::string text = "Numbers: 3 7 8\n<think>\n7 * 8 = 56 vs 62 no\u4f60</think>";
  const Ids expected = tokenizer.encode(text);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&, copy = tokenizer] {
      for (int i = 0; i < 200; ++i) count += copy.encode(text) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(Tokenizer, LoadsFiles) {
  const TempFolder folder;
  std::ofstream(folder / "tokenizer.json") << number_tokenizer_json();
  EXPECT_EQ(Tokenizer::load(folder / "tokenizer.json").vocab_size(), 496);
  EXPECT_THROW(Tokenizer::load(folder / "absent.json"), InputError);
}

std::string error_of(const std::string& json) {
  try {
    Tokenizer::parse(json, "t.json");
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

TEST(Tokenizer, ErrorsSayWhatAndWhere) {
  EXPECT_EQ(error_of("[]"), "t.json: expected an object, came array");
  EXPECT_EQ(error_of("{}"), "t.json: the field \"model\" is missing");
  EXPECT_EQ(error_of(R"({"version": "2.0"})"), "t.json: version: expected \"1.0\", came \"2.0\"");
  const std::string model = R"("model": {"vocab": {"a": 0}, "merges": []})";
  EXPECT_EQ(error_of("{" + model + "}"), "no error");
  EXPECT_EQ(error_of(R"({"model": {"vocab": ["a", 0], "merges": []}})"),
            "t.json: model.vocab: expected an object, came array");
  EXPECT_EQ(error_of(R"({"model": {"vocab": {"a": 0, "b": 1, "a": 2}, "merges": []}})"),
            "t.json: model.vocab[\"a\"]: the token comes twice");
  EXPECT_EQ(error_of("{" + model + R"(, "decoder": {"type": "CTC"}})"),
            "t.json: decoder: unknown decoder \"CTC\"");
  EXPECT_EQ(error_of("{" + model + R"(, "added_tokens": [{"id": 0, "content": "b"}]})"),
            "t.json: added_tokens: the id 0 of \"b\" belongs to \"a\" already");
  EXPECT_EQ(
      error_of("{" + model + R"(, "added_tokens": [{"id": 9999999, "content": "b"}]})"),
      "t.json: added_tokens: the id 9999999 of \"b\" is far beyond the vocabulary's 1 tokens");
}

// Whatever happens to a file, the worst that follows is an InputError of one line.
TEST(Tokenizer, DamagedFilesAreRefusedOrRead) {
  Rng rng(11);
  int refused = 0;
  for (const Golden& golden : goldens()) {
    for (int round = 0; round < 8; ++round) {
      std::string json = golden.tokenizer_json;
      if (round % 2 == 0) {
        json.resize(rng.below(json.size()));
      } else {
        for (int i = 0; i < 1 + round; ++i) {
          json[rng.below(json.size())] = "0{}[]\",:-9ae\\\xFF"[rng.below(14)];
        }
      }
      try {
        const Tokenizer tokenizer = Tokenizer::parse(json, "damaged");
        tokenizer.decode(tokenizer.encode("Hello <s> caf\u00e9 12 the dog", true));
      } catch (const InputError& e) {
        ++refused;
        EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      }
    }
  }
  EXPECT_GT(refused, 300);
}

// --- prompts with data in them ---

// Marks what stands in [brackets] as data.
PromptText prompt_of(const std::string& marked) {
  PromptText out;
  for (const char c : marked) {
    if (c == '[') {
      out.data.push_back({out.text.size(), 0});
    } else if (c == ']') {
      out.data.back().end = out.text.size();
    } else {
      out.text += c;
    }
  }
  return out;
}

TEST(Tokenizer, DataNeverBecomesSpecialTokens) {
  const Tokenizer t = Tokenizer::parse(number_tokenizer_json(), "numbers");
  const int think = t.token_to_id("<think>").value(), end = t.token_to_id("<|endoftext|>").value();
  auto count = [&](const std::string& marked, int id) {
    const Ids ids = t.encode(prompt_of(marked));
    EXPECT_EQ(t.decode(ids), prompt_of(marked).text) << marked;
    return std::count(ids.begin(), ids.end(), id);
  };
  EXPECT_EQ(count("<think>", think), 1);
  EXPECT_EQ(count("[<think>]", think), 0);
  EXPECT_EQ(count("a[<think>]<think>[<think>]", think), 1);
  EXPECT_EQ(count("<th[ink]>", think), 0);
  EXPECT_EQ(count("<think[>]", think), 0);
  EXPECT_EQ(count("[<]think>", think), 0);
  EXPECT_EQ(count("[x]<think>[y]", think), 1);
  EXPECT_EQ(count("[ask <|endoftext|>]<|endoftext|>", end), 1);
}

TEST(Tokenizer, DataThatNamesNoTokenChangesNothing) {
  const Tokenizer t = Tokenizer::parse(number_tokenizer_json(), "numbers");
  for (const char* marked : {"<think>[Numbers: 3 7 8\nTarget: 53\n]</think>", "[a]b[c]", "12[34]56",
                             "[ 1] 2[ 3 ]", "[]"}) {
    PromptText prompt = prompt_of(marked);
    std::erase_if(prompt.data, [](const auto& range) { return range.begin == range.end; });
    EXPECT_EQ(t.encode(prompt), t.encode(prompt.text)) << marked;
  }
}

// Tokens that are looked for in normalized text: their places move with the normalizer.
TEST(Tokenizer, DataIsFoundAgainInNormalizedText) {
  Json json = Json::parse(number_tokenizer_json());
  json["normalizer"] = {{"type", "Prepend"}, {"prepend", "__"}};
  for (Json& token : json["added_tokens"]) token["normalized"] = token["content"] == "<think>";
  const Tokenizer t = Tokenizer::parse(json.dump(), "test");
  const std::string token = "__<think>";  // what the normalizer makes of it
  const int think = t.token_to_id("<think>").value();
  auto count = [&](const std::string& marked) {
    const Ids ids = t.encode(prompt_of(marked));
    return std::count(ids.begin(), ids.end(), think);
  };
  EXPECT_EQ(count("<think>"), 1);
  EXPECT_EQ(count("[<think>]"), 0);
  EXPECT_EQ(count("a" + token + "[b]"), 1);
  EXPECT_EQ(count("a[" + token + "]b"), 0);
  EXPECT_EQ(count("[b]" + token), 1);
}

}  // namespace
}  // namespace r1
