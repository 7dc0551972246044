#include "text/think.h"

#include <gtest/gtest.h>

namespace r1 {
namespace {

struct Case {
  const char* text;
  bool by_prompt;
  const char *preamble, *thinking, *answer;
  bool opened, closed;
};

const Case kCases[] = {
    {"<think>a</think>b", false, "", "a", "b", true, true},
    {"\n<think>a < b</thin</think>\n\nb", false, "\n", "a < b</thin", "\n\nb", true, true},
    {"plain", false, "", "", "plain", false, false},
    {"a</think>b", true, "", "a", "b", true, true},
    {"a</think>b", false, "", "", "a</think>b", false, false},
    {"<think>endless", false, "", "endless", "", true, false},
    {"<think><think>a</think>b</think><think>c", false, "", "<think>a", "b</think><think>c", true,
     true},
    {"<think>a</think", false, "", "a</think", "", true, false},
    {"<thi", false, "", "", "<thi", false, false},
    {"<<think>a</</think>b", false, "<", "a</", "b", true, true},
    {"", false, "", "", "", false, false},
    {"", true, "", "", "", true, false},
};

TEST(Think, Split) {
  for (const Case& c : kCases) {
    const ThinkSplit split = split_thinking(c.text, c.by_prompt);
    EXPECT_EQ(split.preamble, c.preamble) << c.text;
    EXPECT_EQ(split.thinking, c.thinking) << c.text;
    EXPECT_EQ(split.answer, c.answer) << c.text;
    EXPECT_EQ(split.opened, c.opened) << c.text;
    EXPECT_EQ(split.closed, c.closed) << c.text;
  }
}

TEST(Think, StreamIsTheWholeInAnyCut) {
  for (const Case& c : kCases) {
    const std::string text = c.text;
    for (size_t size = 1; size <= text.size() + 1; ++size) {
      ThinkStream stream(c.by_prompt);
      std::string parts[2];
      auto take = [&](const std::vector<ThinkPiece>& pieces) {
        for (const ThinkPiece& piece : pieces) {
          EXPECT_FALSE(piece.text.empty());
          parts[piece.part == TextPart::kThinking] += piece.text;
        }
      };
      for (size_t at = 0; at < text.size(); at += size) take(stream.push(text.substr(at, size)));
      take(stream.finish());
      EXPECT_EQ(parts[1], c.thinking) << text << " by " << size;
      EXPECT_EQ(parts[0], std::string(c.preamble) + c.answer) << text << " by " << size;
    }
  }
}

TEST(Think, NeverLeaksHalfATag) {
  ThinkStream stream;
  EXPECT_TRUE(stream.push("<think").empty());
  EXPECT_EQ(stream.part(), TextPart::kAnswer);
  EXPECT_TRUE(stream.push(">").empty());
  EXPECT_EQ(stream.part(), TextPart::kThinking);
  auto pieces = stream.push("so </thi");
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].text, "so ");
  pieces = stream.push("s <");  // no tag after all
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].text, "</this ");
  pieces = stream.push("/think>4<");
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].part, TextPart::kAnswer);
  EXPECT_EQ(pieces[0].text, "4<");
}

TEST(FindAnswers, TheHonestCase) {
  const AnswerSpans spans = find_answers("<think>7 * 8</think>\n<answer>(7 * 8) - 5</answer>");
  ASSERT_EQ(spans.outside.size(), 1u);
  EXPECT_EQ(spans.outside[0], "(7 * 8) - 5");
  EXPECT_EQ(spans.inside_thinking, 0);
  EXPECT_FALSE(spans.malformed);
}

struct AnswerCase {
  const char* text;
  bool by_prompt;
  size_t outside;
  int inside;
  bool malformed;
};

TEST(FindAnswers, Cheats) {
  const AnswerCase cases[] = {
      {"<answer>1</answer><answer>2</answer>", false, 2, 0, false},
      {"<think><answer>1</answer></think>", false, 0, 1, false},
      {"<answer>1</answer>", true, 0, 1, false},
      {"<think>a</think>b<think><answer>1</answer></think>", false, 0, 1, false},
      {"x</think><answer>1</answer>", true, 1, 0, false},
      {"x</think><answer>1</answer>", false, 1, 0, true},
      {"<answer>1", false, 0, 0, true},
      {"1</answer>", false, 0, 0, true},
      {"<answer>1<answer>2</answer>", false, 1, 0, true},
      {"<answer><think>1</think></answer>", false, 1, 0, true},
      {"<answer></answer>", false, 1, 0, false},
      {"nothing", false, 0, 0, false},
      {"", false, 0, 0, false},
  };
  for (const AnswerCase& c : cases) {
    const AnswerSpans spans = find_answers(c.text, c.by_prompt);
    EXPECT_EQ(spans.outside.size(), c.outside) << c.text;
    EXPECT_EQ(spans.inside_thinking, c.inside) << c.text;
    EXPECT_EQ(spans.malformed, c.malformed) << c.text;
  }
}

}  // namespace
}  // namespace r1
