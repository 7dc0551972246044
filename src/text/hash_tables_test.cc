#include "text/hash_tables.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace r1 {
namespace {

TEST(StringTable, FindsEveryKeyAndNoOther) {
  Rng rng(1);
  StringTable table(5000);
  std::vector<std::string> keys;
  for (int i = 0; i < 5000; ++i) {
    // Keys of 0 to 20 bytes that share prefixes and hold zero bytes.
    std::string key(rng.below(17), '\0');
    for (char& c : key) c = static_cast<char>(rng.below(2));
    key += std::to_string(i);
    ASSERT_TRUE(table.insert(key, i));
    keys.push_back(key);
  }
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(table.find(keys[static_cast<size_t>(i)]), i);
  EXPECT_FALSE(table.insert(keys[7], 9));
  EXPECT_EQ(table.find(keys[7]), 7);
  EXPECT_EQ(table.find("absent"), -1);
  EXPECT_EQ(StringTable().find("a"), -1);
}

TEST(MergeTable, KeepsTheLastOfAPair) {
  MergeTable table(3000);
  for (int i = 0; i < 3000; ++i) table.insert(i % 50, i / 50, {static_cast<uint32_t>(i), i + 1});
  table.insert(7, 0, {9999, 5});
  EXPECT_EQ(table.find(7, 0).rank, 9999u);
  EXPECT_EQ(table.find(8, 3).rank, 158u);
  EXPECT_EQ(table.find(8, 3).result, 159);
  EXPECT_EQ(table.find(50, 0).rank, kNoMerge);
  EXPECT_EQ(table.find(3, 60).rank, kNoMerge);
  EXPECT_EQ(MergeTable().find(0, 0).rank, kNoMerge);
}

}  // namespace
}  // namespace r1
