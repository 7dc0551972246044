#include "engine/kv_store.h"

#include "base/error.h"

namespace r1 {
namespace {

PrefixIndex::Ids block_at(const TokenView& tokens, size_t block) {
  PrefixIndex::Ids ids;
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = tokens[static_cast<int64_t>(block * ids.size() + i)];
  }
  return ids;
}

uint64_t last_block(const PageTable& table) {
  return table.blocks.empty() ? PrefixIndex::kStart : table.blocks.back();
}

}  // namespace

KvStore::KvStore(const ModelConfig& config, int64_t pages, int64_t kept, Allocator& memory)
    : kept_(kept < 0 ? pages : kept),
      cache_(config, config.num_hidden_layers, pages, memory),
      pool_(pages),
      index_(pages) {}

int32_t KvStore::take() {
  if (pool_.free_pages() == 0) index_.forget(pool_.reclaim());
  return pool_.take();
}

int64_t KvStore::reuse(PageTable& table, const TokenView& tokens, int64_t limit) {
  R1_CHECK(table.pages.empty());
  const size_t full = static_cast<size_t>(limit / kPageSize);
  while (table.pages.size() < full) {
    const auto entry = index_.find(last_block(table), block_at(tokens, table.pages.size()));
    if (!entry) break;
    pool_.share(entry->page);
    table.pages.push_back(entry->page);
    table.blocks.push_back(entry->number);
  }
  return static_cast<int64_t>(table.pages.size()) * kPageSize;
}

bool KvStore::branch(const PageTable& from, int64_t positions, PageTable& to,
                     std::vector<PageCopy>& copies) {
  R1_CHECK(to.pages.empty());
  const auto full = static_cast<std::ptrdiff_t>(positions / kPageSize);
  const int64_t rest = positions % kPageSize;
  if (rest > 0 && available() == 0) return false;
  to.pages.assign(from.pages.begin(), from.pages.begin() + full);
  for (const int32_t page : to.pages) pool_.share(page);
  const auto known = std::min(full, std::ssize(from.blocks));
  to.blocks.assign(from.blocks.begin(), from.blocks.begin() + known);
  if (rest > 0) {
    to.pages.push_back(take());
    copies.push_back(
        {from.pages[static_cast<size_t>(full)], to.pages.back(), static_cast<int32_t>(rest)});
  }
  return true;
}

bool KvStore::grow(PageTable& table, int64_t positions) {
  const int64_t more = pages_for(positions) - static_cast<int64_t>(table.pages.size());
  if (more > available()) return false;
  for (int64_t i = 0; i < more; ++i) table.pages.push_back(take());
  return true;
}

void KvStore::note(PageTable& table, const TokenView& tokens, int64_t computed) {
  const size_t full = static_cast<size_t>(computed / kPageSize);
  while (table.blocks.size() < full) {
    const size_t block = table.blocks.size();
    table.blocks.push_back(
        index_.insert(last_block(table), block_at(tokens, block), table.pages[block]));
  }
}

// The last ones first, so that of a known prefix the end goes before what it needs to be found.
void KvStore::release(PageTable& table) {
  while (!table.pages.empty()) {
    const int32_t page = table.pages.back();
    pool_.release(page, index_.holds(page));
    table.pages.pop_back();
  }
  table.blocks.clear();
  while (pool_.idle_pages() > kept_) index_.forget(pool_.reclaim());
}

void KvStore::forget_all() {
  index_.clear();
  while (pool_.idle_pages() > 0) pool_.reclaim();
}

}  // namespace r1
