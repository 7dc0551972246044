#include "recipe/examples.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/files.h"
#include "base/testing.h"
#include "text/number_tokenizer.h"

namespace r1 {
namespace {

// A template that says who speaks by numbers, which the number tokenizer knows.
constexpr const char* kTemplate =
    "{% for m in messages %}{{ '1 ' if m.role == 'user' else '2 ' }}{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}2 {% endif %}";

class Examples : public ::testing::Test {
 protected:
  SequenceGroup example(std::string row, bool with_template = true) const {
    std::erase(row, '\n');
    ExampleOptions options;
    options.dataset = (folder_.path() / "rows.jsonl").string();
    write_file_atomic(options.dataset, row + "\n");
    const auto chat = with_template
                          ? ChatFormat::of({{"chat_template.jinja", kTemplate}}, tokenizer_, "here")
                          : std::nullopt;
    return make_examples(options, tokenizer_, chat, -1, 200, 1)(0);
  }
  std::string prefix(const SequenceGroup& g) const { return tokenizer_.decode(g.prefix); }
  std::string branch(const SequenceGroup& g) const { return tokenizer_.decode(g.branches[0]); }

  TempFolder folder_;
  Tokenizer tokenizer_ = parse_tokenizer(tokenizer_files("numbers"), "numbers");
};

TEST_F(Examples, OfAConversation) {
  const SequenceGroup g = example(
      R"({"messages": [{"role": "user", "content": "3"}, {"role": "assistant", "content": "4"},
          {"role": "user", "content": "5"}, {"role": "assistant", "content": "6"}]})");
  EXPECT_EQ(prefix(g), "1 3\n2 4\n1 5\n2 ");
  EXPECT_EQ(branch(g), "6");
}

TEST_F(Examples, OfAProblemAreAskedAsEvaluationsAskThem) {
  const SequenceGroup g = example(R"({"problem": "3", "completion": "4"})");
  EXPECT_EQ(prefix(g).substr(0, 4), "1 3\n");
  EXPECT_EQ(branch(g), "4");
  EXPECT_EQ(prefix(example(R"({"problem": "3", "completion": "4"})", false)).substr(0, 2), "3\n");
  EXPECT_EQ(prefix(example(R"({"prompt": "3", "completion": "4"})")), "3");
}

TEST_F(Examples, RefuseRowsThatAreNone) {
  for (const char* row : {R"({"messages": []})", R"({"messages": 3})", R"({"problem": "3"})",
                          R"({"messages": [{"role": "user", "content": "3"}]})",
                          R"({"messages": [{"role": "user", "content": "3"}, 4]})"}) {
    try {
      example(row);
      FAIL() << row;
    } catch (const InputError& e) {
      EXPECT_NE(std::string(e.what()).find("rows.jsonl:1"), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(example(R"({"messages": [{"role": "user", "content": "3"},
                           {"role": "assistant", "content": "6"}]})",
                       false),
               InputError);
}

}  // namespace
}  // namespace r1
