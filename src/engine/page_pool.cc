#include "engine/page_pool.h"

#include "base/error.h"

namespace r1 {

PagePool::PagePool(int64_t pages) : users_(static_cast<size_t>(pages), 0) {
  for (int64_t p = pages; p-- > 0;) free_.push_back(static_cast<int32_t>(p));
}

int32_t PagePool::take() {
  R1_CHECK(!free_.empty());
  const int32_t page = free_.back();
  free_.pop_back();
  users_[static_cast<size_t>(page)] = 1;
  return page;
}

void PagePool::share(int32_t page) {
  R1_CHECK(users_[static_cast<size_t>(page)] > 0);
  ++users_[static_cast<size_t>(page)];
}

void PagePool::release(int32_t page) {
  int32_t& users = users_[static_cast<size_t>(page)];
  R1_CHECK(users > 0);
  if (--users == 0) free_.push_back(page);
}

}  // namespace r1
