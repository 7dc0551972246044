// Which pages of the KV cache are free, how many sequences share each that is used, and which are
// idle: used by nobody, but kept for what they hold until pages are needed.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

namespace r1 {

class PagePool {
 public:
  explicit PagePool(int64_t pages);

  int64_t pages() const { return static_cast<int64_t>(users_.size()); }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t idle_pages() const { return static_cast<int64_t>(idle_.size()); }

  // A free page gets one user. There must be one.
  int32_t take();
  // One more user of a page that is used or idle.
  void share(int32_t page);
  // One user less. Without any the page is free, or idle where it is to be kept.
  void release(int32_t page, bool keep);
  // The page that has been idle longest is free from now on. There must be one.
  int32_t reclaim();

 private:
  std::vector<int32_t> free_;  // taken from the back
  std::vector<int32_t> users_;
  std::list<int32_t> idle_;                          // the longest idle one first
  std::vector<std::list<int32_t>::iterator> place_;  // in idle_, of idle pages
};

}  // namespace r1
