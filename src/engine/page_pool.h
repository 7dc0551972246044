// Which pages of the KV cache are free, and how many sequences share each of the others.
#pragma once

#include <cstdint>
#include <vector>

namespace r1 {

class PagePool {
 public:
  explicit PagePool(int64_t pages);

  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t pages() const { return static_cast<int64_t>(users_.size()); }

  // A page with one user. There must be a free one.
  int32_t take();
  // One more user of a page in use.
  void share(int32_t page);
  // One user less; the page is free when the last is gone.
  void release(int32_t page);

 private:
  std::vector<int32_t> free_;  // taken from the back
  std::vector<int32_t> users_;
};

}  // namespace r1
