#include "engine/completion_text.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "text/number_tokenizer.h"

namespace r1 {
namespace {

const Tokenizer& tokenizer() {
  static const Tokenizer t = Tokenizer::parse(number_tokenizer_json(), "numbers");
  return t;
}
constexpr int64_t kVocab = 496;

struct Written {
  std::string text, thinking, answer;
  bool stopped = false;
};

// What becomes of ids, pieces taken after each.
Written write(const Request& request, const std::vector<int32_t>& ids) {
  CompletionText t(request, tokenizer(), kVocab);
  Written out;
  const auto take = [&] {
    for (const ThinkPiece& p : t.take_pieces()) {
      EXPECT_FALSE(p.text.empty());
      (p.part == TextPart::kThinking ? out.thinking : out.answer) += p.text;
    }
  };
  for (size_t i = 0; i < ids.size() && !out.stopped; ++i) {
    out.stopped = t.push(ids[i]);
    if (!out.stopped) take();
  }
  t.finish();
  take();
  out.text = t.text();
  return out;
}

TEST(CompletionText, EndsBeforeTheFirstStopString) {
  Rng rng(1);
  int stopped = 0;
  for (int round = 0; round < 500; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 40; ++i) ids.push_back(static_cast<int32_t>(rng.below(kVocab)));
    const std::string whole = tokenizer().decode(ids, true);
    Request r;
    const size_t at = rng.below(whole.size()), length = 1 + rng.below(6);
    r.stop = {"never in it", whole.substr(at, length), "", "12"};
    r.thinking.opened_by_prompt = round % 2 == 1;
    if (tokenizer().decode(ids, false) != whole) continue;  // special tokens: below
    const Written w = write(r, ids);
    const size_t cut = std::min(whole.find(r.stop[1]), whole.find("12"));
    // A stop string ends the text with its last token: an earlier one may be whole later.
    EXPECT_EQ(w.text, whole.substr(0, w.text.size()));
    EXPECT_TRUE(w.stopped);
    EXPECT_GE(w.text.size(), cut);
    EXPECT_TRUE(whole.substr(w.text.size()).starts_with(r.stop[1]) ||
                whole.substr(w.text.size()).starts_with("12"));
    const ThinkSplit split = split_thinking(w.text, r.thinking.opened_by_prompt);
    EXPECT_EQ(w.thinking, split.thinking);
    EXPECT_EQ(w.answer, std::string(split.preamble) + std::string(split.answer));
    ++stopped;
  }
  EXPECT_GT(stopped, 200);
}

TEST(CompletionText, SpecialTokensAreSeenByStopStringsAlone) {
  const int32_t end = *tokenizer().token_to_id(kEndOfText);
  std::vector<int32_t> ids = tokenizer().encode("3 + 4 = 7");
  const size_t size = ids.size();
  ids.push_back(end);
  const std::vector<int32_t> more = tokenizer().encode("8");
  ids.insert(ids.end(), more.begin(), more.end());
  Request r;
  EXPECT_EQ(write(r, ids).text, "3 + 4 = 78");
  r.stop = {std::string(kEndOfText)};
  EXPECT_TRUE(write(r, ids).stopped);
  EXPECT_EQ(write(r, ids).text, "3 + 4 = 7");
  r.stop = {"7" + std::string(kEndOfText) + "8"};  // across it
  EXPECT_TRUE(write(r, ids).stopped);
  EXPECT_EQ(write(r, ids).text, "3 + 4 = ");
  ids.resize(size);
  EXPECT_FALSE(write(r, ids).stopped);
  EXPECT_EQ(write(r, ids).text, "3 + 4 = 7");  // held back, then given
  EXPECT_EQ(write(r, ids).answer, "3 + 4 = 7");
}

TEST(CompletionText, PiecesAreWholeCharacters) {
  const std::vector<int32_t> ids = tokenizer().encode("a€b😀");
  Request r;
  r.stop = {"€b€"};
  CompletionText t(r, tokenizer(), kVocab);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    EXPECT_FALSE(t.push(id));
    for (const ThinkPiece& p : t.take_pieces()) pieces.push_back(p.text);
  }
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", "€b😀"}));
  // What never becomes one is replaced in the end.
  CompletionText cut(r, tokenizer(), kVocab);
  for (size_t i = 0; i + 1 < ids.size(); ++i) cut.push(ids[i]);
  cut.finish();
  EXPECT_EQ(cut.text(), tokenizer().decode(std::vector<int32_t>(ids.begin(), ids.end() - 1), true));
}

}  // namespace
}  // namespace r1
