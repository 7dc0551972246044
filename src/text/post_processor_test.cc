#include "text/post_processor.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "text/json_node.h"

namespace r1 {
namespace {

PostProcessor parse(const std::string& json) {
  const JsonDocument document(json, "test");
  return PostProcessor::parse(document.root());
}

const std::string kTemplate = R"({"type": "TemplateProcessing",
  "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "E", "type_id": 0}}],
  "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]},
                                 "E": {"id": "E", "ids": [8, 9], "tokens": ["x", "y"]}}})";

using Ids = std::vector<int>;

TEST(PostProcessor, Template) {
  const PostProcessor post = parse(kTemplate);
  EXPECT_EQ(post.apply({1, 2}, true), (Ids{7, 1, 2, 8, 9}));
  EXPECT_EQ(post.apply({1, 2}, false), (Ids{1, 2}));
  EXPECT_EQ(post.added_ids(), (Ids{7, 8, 9}));
}

TEST(PostProcessor, SequenceAndByteLevel) {
  const PostProcessor post =
      parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}, )" + kTemplate + "]}");
  EXPECT_EQ(post.apply({1}, true), (Ids{7, 1, 8, 9}));
}

TEST(PostProcessor, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(parse(R"({"type": "BertProcessing"})"), InputError);
  EXPECT_THROW(parse(R"({"type": "TemplateProcessing", "special_tokens": {},
                         "single": [{"SpecialToken": {"id": "x"}}]})"),
               InputError);
  EXPECT_THROW(parse(R"({"type": "TemplateProcessing", "special_tokens": {},
                         "single": [{"Sequence": {"id": "B"}}]})"),
               InputError);
}

}  // namespace
}  // namespace r1
