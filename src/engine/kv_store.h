// The KV cache and who has which of its pages. Sequences take pages as they grow and share those
// that another has computed: a full page stays known by its tokens (prefix_index.h) when nobody
// uses it any more, until pages are needed or too many are kept. The least recently used goes
// first.
//
// By the numerics contract a block's keys and values depend on its tokens and those before it
// alone, so a page that is shared has the bits that computing it again would give
// (docs/numerics.md).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/page_pool.h"
#include "engine/prefix_index.h"
#include "model/batch.h"

namespace r1 {

// A sequence's pages, in order.
struct PageTable {
  std::vector<int32_t> pages;
  std::vector<uint64_t> blocks;  // numbers in the index, of the first full pages
};

class KvStore {
 public:
  // At most `kept` pages that nobody uses are kept for what they hold; -1: all.
  KvStore(const ModelConfig& config, int64_t pages, int64_t kept = -1,
          Allocator& memory = host_memory());

  KvCache& cache() { return cache_; }
  int64_t pages() const { return pool_.pages(); }
  // Those that nobody uses.
  int64_t available() const { return pool_.free_pages() + pool_.idle_pages(); }

  // Gives an empty table the pages of the longest known prefix of the first `limit` tokens. Returns
  // how many positions they hold, a whole number of pages.
  int64_t reuse(PageTable& table, const TokenView& tokens, int64_t limit);
  // Gives an empty table the first `positions` of another: its full pages are shared. The rest
  // needs a page of its own, and `copies` gets what is to be copied there. False, and nothing is
  // done, if there is none.
  bool branch(const PageTable& from, int64_t positions, PageTable& to,
              std::vector<PageCopy>& copies);
  // Adds pages until the table has room for `positions`. False, and nothing is done, if there are
  // too few.
  bool grow(PageTable& table, int64_t positions);
  // The first `computed` positions' keys are written: full pages become known.
  void note(PageTable& table, const TokenView& tokens, int64_t computed);
  // Gives back all pages of a table, and empties it.
  void release(PageTable& table);

  // No page is known by its tokens any more: the weights have changed. Tables in use must be
  // released before they are noted again.
  void forget_all();

 private:
  int32_t take();

  int64_t kept_;
  KvCache cache_;
  PagePool pool_;
  PrefixIndex index_;
};

}  // namespace r1
