#include "base/text_util.h"

#include <gtest/gtest.h>

#include <vector>

namespace r1 {
namespace {

TEST(TextUtil, EditDistance) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("lr", "rl"), 1u);  // one swap
  EXPECT_EQ(edit_distance("learnign_rate", "learning_rate"), 1u);
  EXPECT_EQ(edit_distance("abcd", "badc"), 2u);
}

TEST(TextUtil, DidYouMean) {
  const std::vector<std::string> names = {"learning_rate", "steps", "beta", "seed"};
  EXPECT_EQ(did_you_mean("learnign_rate", names), ", did you mean \"learning_rate\"?");
  EXPECT_EQ(did_you_mean("step", names), ", did you mean \"steps\"?");
  EXPECT_EQ(nearest_name("bета", names), "");
  EXPECT_EQ(nearest_name("zz", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name(std::string(1 << 20, 'a'), names), "");
  EXPECT_EQ(nearest_name("steps", {}), "");
}

TEST(TextUtil, NearestIsTheFirstOfEquals) {
  const std::vector<std::string> names = {"epsilon_low", "epsilon_lowe", "epsilon"};
  EXPECT_EQ(nearest_name("epsilon_lov", names), "epsilon_low");
  EXPECT_EQ(nearest_name("epsilom", names), "epsilon");
}

}  // namespace
}  // namespace r1
