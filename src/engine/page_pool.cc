#include "engine/page_pool.h"

#include "base/error.h"

namespace r1 {

PagePool::PagePool(int64_t pages)
    : users_(static_cast<size_t>(pages), 0), place_(static_cast<size_t>(pages), idle_.end()) {
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
  int32_t& users = users_[static_cast<size_t>(page)];
  auto& place = place_[static_cast<size_t>(page)];
  R1_CHECK(users > 0 || place != idle_.end());
  if (users++ > 0) return;
  idle_.erase(place);
  place = idle_.end();
}

void PagePool::release(int32_t page, bool keep) {
  int32_t& users = users_[static_cast<size_t>(page)];
  R1_CHECK(users > 0);
  if (--users > 0) return;
  if (keep) {
    place_[static_cast<size_t>(page)] = idle_.insert(idle_.end(), page);
  } else {
    free_.push_back(page);
  }
}

int32_t PagePool::reclaim() {
  R1_CHECK(!idle_.empty());
  const int32_t page = idle_.front();
  idle_.pop_front();
  place_[static_cast<size_t>(page)] = idle_.end();
  free_.push_back(page);
  return page;
}

}  // namespace r1
