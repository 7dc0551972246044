#include "engine/page_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace r1 {
namespace {

TEST(PagePool, HandsOutEachPageOnce) {
  PagePool pool(5);
  std::set<int32_t> taken;
  while (pool.free_pages() > 0) taken.insert(pool.take());
  EXPECT_EQ(taken, (std::set<int32_t>{0, 1, 2, 3, 4}));
}

TEST(PagePool, ASharedPageIsFreeWhenItsLastUserIsGone) {
  PagePool pool(1);
  const int32_t page = pool.take();
  pool.share(page);
  pool.share(page);
  pool.release(page);
  pool.release(page);
  EXPECT_EQ(pool.free_pages(), 0);
  pool.release(page);
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_EQ(pool.take(), page);
}

}  // namespace
}  // namespace r1
