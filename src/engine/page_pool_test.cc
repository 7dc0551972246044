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
  pool.release(page, false);
  pool.release(page, false);
  EXPECT_EQ(pool.free_pages(), 0);
  pool.release(page, false);
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_EQ(pool.take(), page);
}

TEST(PagePool, IdlePagesAreReclaimedInTheOrderInWhichTheyWereLeft) {
  PagePool pool(3);
  const int32_t a = pool.take(), b = pool.take(), c = pool.take();
  pool.share(a);
  pool.release(a, true);  // still used by another
  pool.release(b, true);
  pool.release(c, true);
  pool.release(a, true);
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(pool.idle_pages(), 3);
  pool.share(b);  // used again, so left last
  pool.release(b, true);
  EXPECT_EQ(pool.reclaim(), c);
  EXPECT_EQ(pool.reclaim(), a);
  EXPECT_EQ(pool.free_pages(), 2);
  EXPECT_EQ(pool.idle_pages(), 1);
  EXPECT_EQ(pool.reclaim(), b);
}

}  // namespace
}  // namespace r1
