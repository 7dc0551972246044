#include "engine/kv_store.h"

#include <gtest/gtest.h>

#include <numeric>

namespace r1 {
namespace {

ModelConfig tiny_config() {
  ModelConfig c;
  c.num_hidden_layers = 1;
  c.num_attention_heads = c.num_key_value_heads = 1;
  c.head_dim = 2;
  return c;
}

std::vector<int32_t> tokens(int32_t first, int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

// Computes `ids` on pages of a table of their own, and gives them back.
std::vector<int32_t> compute(KvStore& store, const std::vector<int32_t>& ids) {
  PageTable table;
  const int64_t size = std::ssize(ids);
  const int64_t known = store.reuse(table, {ids, {}}, size);
  EXPECT_TRUE(store.grow(table, size));
  EXPECT_LE(known, size);
  store.note(table, {ids, {}}, size);
  const std::vector<int32_t> pages = table.pages;
  store.release(table);
  return pages;
}

TEST(KvStore, FullPagesAreFoundByTheirTokens) {
  KvStore store(tiny_config(), 10);
  const std::vector<int32_t> ids = tokens(0, 40);
  const std::vector<int32_t> pages = compute(store, ids);
  EXPECT_EQ(store.available(), 10);
  PageTable table;
  EXPECT_EQ(store.reuse(table, {ids, {}}, 40), 32);
  EXPECT_EQ(table.pages, (std::vector<int32_t>{pages[0], pages[1]}));
  EXPECT_EQ(store.available(), 8);
  PageTable shorter;
  EXPECT_EQ(store.reuse(shorter, {ids, {}}, 31), 16);
  EXPECT_EQ(store.available(), 8);  // shared
  store.release(table);
  store.release(shorter);
  EXPECT_EQ(store.available(), 10);
}

TEST(KvStore, ABlockIsKnownWithWhatIsBeforeItAlone) {
  KvStore store(tiny_config(), 10);
  std::vector<int32_t> ids = tokens(0, 48);
  compute(store, ids);
  PageTable table;
  ids[3] = 99;  // the second and third block are as before
  EXPECT_EQ(store.reuse(table, {ids, {}}, 48), 0);
  ids = tokens(0, 48);
  ids[20] = 99;
  EXPECT_EQ(store.reuse(table, {ids, {}}, 48), 16);
  store.release(table);
  // The same tokens, cut between what was given and what was written anywhere.
  ids = tokens(0, 48);
  for (size_t cut = 0; cut <= 48; ++cut) {
    const std::span<const int32_t> all = ids;
    EXPECT_EQ(store.reuse(table, {all.first(cut), all.subspan(cut)}, 48), 48);
    store.release(table);
  }
}

TEST(KvStore, TheLeastRecentlyUsedPagesGoFirst) {
  KvStore store(tiny_config(), 6);
  const std::vector<int32_t> a = tokens(0, 32), b = tokens(100, 32), c = tokens(200, 48);
  compute(store, a);
  compute(store, b);
  compute(store, a);  // used again
  compute(store, c);  // needs three pages: two are free, and one of b's goes, its last
  PageTable table;
  EXPECT_EQ(store.reuse(table, {a, {}}, 32), 32);
  store.release(table);
  EXPECT_EQ(store.reuse(table, {b, {}}, 32), 16);
  store.release(table);
  EXPECT_EQ(store.reuse(table, {c, {}}, 48), 48);
  // Used pages never go.
  PageTable other;
  EXPECT_FALSE(store.grow(other, 4 * kPageSize));
  EXPECT_TRUE(other.pages.empty());
  EXPECT_TRUE(store.grow(other, 3 * kPageSize));
  EXPECT_EQ(store.available(), 0);
  store.release(table);
  store.release(other);
  EXPECT_EQ(store.available(), 6);
}

TEST(KvStore, KeepsNoMoreThanItMay) {
  KvStore store(tiny_config(), 8, 3);
  const std::vector<int32_t> a = tokens(0, 64), b = tokens(100, 32);
  compute(store, a);
  PageTable table;
  EXPECT_EQ(store.reuse(table, {a, {}}, 64), 48);
  store.release(table);
  compute(store, b);
  EXPECT_EQ(store.reuse(table, {a, {}}, 64), 16);
  store.release(table);
  EXPECT_EQ(store.available(), 8);
}

TEST(KvStore, ABranchSharesFullPagesAndCopiesTheRest) {
  KvStore store(tiny_config(), 5);
  const std::vector<int32_t> ids = tokens(0, 40);
  PageTable prompt, branch, full;
  ASSERT_TRUE(store.grow(prompt, 40));
  store.note(prompt, {ids, {}}, 40);
  std::vector<PageCopy> copies;
  ASSERT_TRUE(store.branch(prompt, 39, branch, copies));
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].from, prompt.pages[2]);
  EXPECT_EQ(copies[0].to, branch.pages[2]);
  EXPECT_EQ(copies[0].slots, 7);
  EXPECT_EQ(branch.pages[1], prompt.pages[1]);
  EXPECT_EQ(branch.blocks, prompt.blocks);
  ASSERT_TRUE(store.branch(prompt, 32, full, copies));
  EXPECT_EQ(copies.size(), 1u);
  EXPECT_EQ(store.available(), 1);
  store.release(prompt);
  EXPECT_EQ(store.available(), 2);  // the others have its full pages
  PageTable taker;
  ASSERT_TRUE(store.grow(taker, 32));
  PageTable none;
  EXPECT_FALSE(store.branch(branch, 39, none, copies));
  EXPECT_TRUE(none.pages.empty());
  EXPECT_EQ(copies.size(), 1u);
}

TEST(KvStore, ForgetsAllWhenTheWeightsChange) {
  KvStore store(tiny_config(), 4);
  const std::vector<int32_t> ids = tokens(0, 32);
  compute(store, ids);
  PageTable held, table;
  ASSERT_EQ(store.reuse(held, {ids, {}}, 16), 16);
  store.forget_all();
  EXPECT_EQ(store.reuse(table, {ids, {}}, 32), 0);
  store.release(held);
  EXPECT_EQ(store.available(), 4);
  EXPECT_EQ(store.reuse(table, {ids, {}}, 32), 0);
  compute(store, ids);
  EXPECT_EQ(store.reuse(table, {ids, {}}, 32), 32);
}

}  // namespace
}  // namespace r1
