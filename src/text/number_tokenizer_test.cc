#include "text/number_tokenizer.h"

#include <gtest/gtest.h>

#include "text/tokenizer.h"

namespace r1 {
namespace {

const Tokenizer& tokenizer() {
  static const Tokenizer instance = Tokenizer::parse(number_tokenizer_json(), "numbers");
  return instance;
}

// The tokens' texts, between bars.
std::string pieces(const std::string& text) {
  std::string out = "|";
  for (const int id : tokenizer().encode(text)) out += tokenizer().decode({{id}}) + "|";
  return out;
}

TEST(NumberTokenizer, ATraceIsOneTokenAPiece) {
  EXPECT_EQ(pieces("Numbers: 3 7 8\nTarget: 62\n<think>\n7 * 8 = 56, 56 - 5 = 51 vs 62 no\n"),
            "|Numbers:| 3| 7| 8|\n|Target:| 62|\n|<think>|\n|7| *| 8| =| 56|,| 56| -| 5| =| 51| "
            "vs| 62| no|\n|");
  EXPECT_EQ(pieces("99 / 9 + 0 -> 11 , 11 vs 11 yes\n</think>\n<answer>(7 * (8)) - 5</answer>"),
            "|99| /| 9| +| 0| ->| 11| ,| 11| vs| 11| yes|\n|</think>|\n|<answer>|(|7| *| (|8|)|)| "
            "-| 5|</answer>|");
}

TEST(NumberTokenizer, EveryNumberBelowAHundredIsOneToken) {
  for (int n = 0; n < 100; ++n) {
    std::string text = std::to_string(n);
    EXPECT_EQ(tokenizer().encode(text).size(), 1u) << n;
    text.insert(text.begin(), ' ');
    EXPECT_EQ(tokenizer().encode(text).size(), 1u) << n;
  }
}

TEST(NumberTokenizer, LongNumbersAreCutFromTheLeft) {
  EXPECT_EQ(pieces(" 144"), "| 14|4|");
  EXPECT_EQ(pieces("441"), "|44|1|");
  EXPECT_EQ(pieces(" 1007"), "| 10|07|");
  EXPECT_EQ(pieces("123456"), "|12|34|56|");
}

TEST(NumberTokenizer, WhiteSpaceGluesToNothing) {
  EXPECT_EQ(pieces("no\n\n yes\n  7\t\n"), "|no|\n|\n| yes|\n| | 7|\t|\n|");
  EXPECT_EQ(pieces("7-8"), "|7|-|8|");
}

TEST(NumberTokenizer, AnyBytesSurvive) {
  std::string text;
  for (int c = 0; c < 0x3000; c += 7) text += static_cast<char>(c % 128), text += "\u00e9\u4f60";
  EXPECT_EQ(tokenizer().decode(tokenizer().encode(text)), text);
}

TEST(NumberTokenizer, Vocabulary) {
  EXPECT_EQ(tokenizer().vocab_size(), 496);
  EXPECT_EQ(tokenizer().vocab_size() % 16, 0);
  for (int id = 0; id < 496; ++id) EXPECT_FALSE(tokenizer().id_to_token(id).empty()) << id;
  const int end = tokenizer().token_to_id(kEndOfText).value();
  EXPECT_EQ(end, 491);
  EXPECT_TRUE(tokenizer().is_special(end));
  EXPECT_FALSE(tokenizer().is_special(tokenizer().token_to_id("<think>").value()));
  EXPECT_EQ(tokenizer().encode("<|endoftext|>"), std::vector<int>{end});
  EXPECT_EQ(number_tokenizer_json(), number_tokenizer_json());
}

}  // namespace
}  // namespace r1
