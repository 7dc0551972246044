#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/rng.h"

namespace r1 {
namespace {

// Runs a scheduler without a model: a position's keys are a hash of the tokens up to it, so each
// row can be checked to see those of its own sequence, whatever was shared, copied or preempted.
class Simulation {
 public:
  Simulation(int64_t pages, const SchedulerLimits& limits)
      : limits_(limits),
        store_(config(), pages),
        scheduler_(store_, limits),
        keys_(static_cast<size_t>(pages * kPageSize), 0) {}

  Group& add(std::vector<int32_t> prompt, int64_t n, int64_t tokens) {
    auto& g = groups_.emplace_back(std::make_unique<Group>());
    g->id = std::ssize(groups_);
    g->request.prompt = std::move(prompt);
    g->request.n = n;
    g->request.max_new_tokens = tokens;
    g->completions.resize(static_cast<size_t>(n));
    scheduler_.add(*g);
    return *g;
  }

  void step() {
    const Scheduler::Plan plan = scheduler_.plan();
    int64_t rows = 0;
    std::vector<Branch*> sampled;
    for (const auto& [b, count] : plan.slices) {
      rows += count;
      ASSERT_GE(count, 1);
      ASSERT_LE(count, b->missing());
      for (int64_t p = b->computed; p < b->computed + count; ++p) key(*b, p) = hash(*b, p);
    }
    EXPECT_LE(rows, limits_.max_batch_tokens);
    EXPECT_LE(std::ssize(scheduler_.running()), limits_.max_sequences);
    copy(plan.copies);
    for (const auto& [b, count] : plan.slices) {
      for (int64_t p = 0; p < b->computed + count; ++p) ASSERT_EQ(key(*b, p), hash(*b, p)) << p;
      b->computed += count;
      store_.note(b->table, b->tokens(), b->computed);
      if (b->missing() == 0) sampled.push_back(b);
    }
    std::vector<PageCopy> copies;
    for (size_t i = 0, leaders = sampled.size(); i < leaders; ++i) {
      if (sampled[i]->group->prompt_computed) continue;
      for (Branch* b : scheduler_.fork(*sampled[i], copies)) sampled.push_back(b);
    }
    copy(copies);
    for (Branch* b : sampled) {
      Completion& c = b->completion();
      c.ids.push_back(static_cast<int32_t>(hash(*b, b->computed - 1) % 3 + b->index));
      b->finished = std::ssize(c.ids) == b->group->request.max_new_tokens;
      b->group->finished += b->finished ? 1 : 0;
    }
    scheduler_.remove_finished();
  }

  Scheduler& scheduler() { return scheduler_; }
  KvStore& store() { return store_; }
  const std::deque<std::unique_ptr<Group>>& groups() const { return groups_; }

 private:
  static ModelConfig config() {
    ModelConfig c;
    c.num_hidden_layers = 1;
    c.num_attention_heads = c.num_key_value_heads = 1;
    c.head_dim = 2;
    return c;
  }
  uint64_t& key(const Branch& b, int64_t p) {
    const int64_t page = b.table.pages[static_cast<size_t>(p / kPageSize)];
    return keys_[static_cast<size_t>(page * kPageSize + p % kPageSize)];
  }
  static uint64_t hash(const Branch& b, int64_t p) {
    uint64_t h = 1;
    for (int64_t i = 0; i <= p; ++i)
      h = h * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(b.tokens()[i]);
    return h ^ (h >> 29);
  }
  void copy(const std::vector<PageCopy>& copies) {
    for (const PageCopy& c : copies) {
      std::copy_n(keys_.begin() + c.from * kPageSize, c.slots, keys_.begin() + c.to * kPageSize);
    }
  }

  SchedulerLimits limits_;
  KvStore store_;
  Scheduler scheduler_;
  std::vector<uint64_t> keys_;
  std::deque<std::unique_ptr<Group>> groups_;
};

std::vector<int32_t> prompt_of(Rng& rng, int64_t size) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < size; ++i) ids.push_back(static_cast<int32_t>(i < 40 ? 7 : rng.below(2)));
  return ids;
}

TEST(Scheduler, AllEndAndSeeTheirOwnKeysInAnyNumberOfPages) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    const int64_t pages = 7 + static_cast<int64_t>(rng.below(14));
    const auto below = [&](uint64_t n) { return static_cast<int64_t>(rng.below(n)); };
    const int64_t sequences = 1 + below(8);
    Simulation s(pages, {sequences, sequences + 1 + below(30), 1 + below(20)});
    for (int i = 0; i < 12; ++i) {
      const int64_t size = 1 + below(70);
      s.add(prompt_of(rng, size), 1 + below(4),
            1 + below(static_cast<uint64_t>(std::min<int64_t>(60, 7 * kPageSize - size))));
    }
    int64_t steps = 0;
    while (!s.scheduler().idle()) {
      s.step();
      if (HasFatalFailure()) return;
      ASSERT_LT(++steps, 20000) << seed;
      if (below(40) == 0) s.scheduler().preempt_all();
      if (below(60) == 0) s.scheduler().remove(*s.groups()[static_cast<size_t>(below(12))]);
    }
    EXPECT_EQ(s.store().available(), pages) << seed;
  }
}

TEST(Scheduler, TheYoungestGivesWayAndTheOldestGoesOn) {
  Simulation s(6, {4, 20, 16});
  Rng rng(1);
  Group& old = s.add(prompt_of(rng, 20), 1, 70);  // needs all six pages in the end
  Group& young = s.add(prompt_of(rng, 30), 2, 60);
  int64_t before = 0;
  while (old.finished == 0) {
    s.step();
    const int64_t size = std::ssize(old.completions[0].ids);
    if (before > 0) {
      EXPECT_EQ(size, before + 1);
    }
    before = size;
  }
  EXPECT_GT(s.scheduler().preemptions(), 0);
  EXPECT_LT(young.finished, 2);
  while (!s.scheduler().idle()) s.step();
  EXPECT_EQ(young.finished, 2);
}

TEST(Scheduler, AGroupComputesItsPromptOnce) {
  Simulation s(40, {8, 64, 64});
  Rng rng(2);
  Group& g = s.add(prompt_of(rng, 37), 6, 20);
  s.step();
  ASSERT_EQ(s.scheduler().running().size(), 6u);
  for (const Completion& c : g.completions) EXPECT_EQ(c.ids.size(), 1u);
  EXPECT_EQ(s.scheduler().plan().slices.size(), 6u);
  EXPECT_EQ(40 - s.store().available(), 2 + 6);  // two full pages for all, and one for each
}

// More than can run: those that start later go on from a sibling's prompt, of which they compute
// the last row.
TEST(Scheduler, LateOnesTakeThePromptOfASibling) {
  Simulation s(40, {2, 64, 64});
  Rng rng(3);
  Group& g = s.add(prompt_of(rng, 37), 3, 20);
  for (int i = 0; i < 5; ++i) s.step();
  const auto& running = s.scheduler().running();
  ASSERT_EQ(g.launched, 2);
  running[1]->finished = true;
  g.finished = 1;
  s.scheduler().remove_finished();
  s.step();
  ASSERT_EQ(running.size(), 2u);
  EXPECT_EQ(running[1]->index, 2);
  EXPECT_EQ(running[1]->computed, 37);
  EXPECT_EQ(s.scheduler().reused(), 0);
  while (!s.scheduler().idle()) s.step();
  EXPECT_EQ(g.finished, 3);
  EXPECT_EQ(s.scheduler().preemptions(), 0);
}

}  // namespace
}  // namespace r1
