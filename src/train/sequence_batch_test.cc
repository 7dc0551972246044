#include "train/sequence_batch.h"

#include <gtest/gtest.h>

#include <map>
#include <type_traits>

namespace r1 {
namespace {

using Ids = std::vector<int32_t>;

// Distinct tokens, so that a wrong one is seen.
Ids numbered(int32_t from, int64_t count) {
  Ids ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(from + static_cast<int32_t>(i));
  return ids;
}

// The pages as a forward pass leaves them, tokens in the place of keys: every row is written to its
// slot, then the copies are made.
class Pages {
 public:
  explicit Pages(const SequenceBatch& b) : batch_(b.batch()) {
    for (const Sequence& s : batch_.seqs) {
      for (int64_t i = 0; i < s.count; ++i) {
        const Slot slot = slot_of(s, s.position + i);
        EXPECT_GE(slot.first, 0);
        EXPECT_LT(slot.first, b.pages());
        const bool first = tokens_.emplace(slot, batch_.tokens[index(s.row + i)]).second;
        EXPECT_TRUE(first) << "two rows in slot " << slot.second << " of page " << slot.first;
      }
    }
    for (const PageCopy& c : batch_.copies) {
      for (int64_t i = 0; i < c.slots; ++i) {
        EXPECT_TRUE(tokens_.contains({c.from, i}));
        EXPECT_TRUE(tokens_.emplace(Slot{c.to, i}, tokens_[{c.from, i}]).second);
      }
    }
  }

  // What row `row` attends to: the tokens of its sequence's positions up to its own.
  Ids context(int64_t row) const {
    for (const Sequence& s : batch_.seqs) {
      if (row < s.row || row >= s.row + s.count) continue;
      Ids seen;
      for (int64_t p = 0; p <= s.position + row - s.row; ++p) {
        const auto it = tokens_.find(slot_of(s, p));
        seen.push_back(it == tokens_.end() ? -1 : it->second);
      }
      return seen;
    }
    ADD_FAILURE() << "no sequence holds row " << row;
    return {};
  }

 private:
  using Slot = std::pair<int32_t, int64_t>;  // page, place on it
  static size_t index(int64_t i) { return static_cast<size_t>(i); }
  static Slot slot_of(const Sequence& s, int64_t position) {
    return {s.pages[position / kPageSize], position % kPageSize};
  }

  const Batch& batch_;
  std::map<Slot, int32_t> tokens_;
};

struct Target {
  Ids context;
  int32_t token;
  bool operator==(const Target&) const = default;
};

// Every prediction that a group's branches [begin, end) should make, from what a group means.
std::vector<Target> expected_targets(const SequenceGroup& g, size_t begin, size_t end) {
  std::vector<Target> targets;
  for (size_t b = begin; b < end; ++b) {
    Ids context = g.prefix;
    for (size_t i = 0; i < g.branches[b].size(); ++i) {
      const bool counts = g.masks.empty() || g.masks[b][i] != 0;
      if (counts && !context.empty()) targets.push_back({context, g.branches[b][i]});
      context.push_back(g.branches[b][i]);
    }
  }
  return targets;
}

std::vector<Target> targets_of(const SequenceBatch& b) {
  const Pages pages(b);
  std::vector<Target> targets;
  EXPECT_EQ(b.batch().outputs.size(), b.targets().size());
  for (size_t i = 0; i < b.targets().size(); ++i) {
    targets.push_back({pages.context(b.batch().outputs[i]), b.targets()[i]});
  }
  return targets;
}

// Sequences cover the rows in order, with their own positions.
void expect_well_formed(const SequenceBatch& b) {
  int64_t row = 0;
  for (const Sequence& s : b.batch().seqs) {
    EXPECT_EQ(s.row, row);
    EXPECT_GT(s.count, 0);
    for (int64_t i = 0; i < s.count; ++i) {
      EXPECT_EQ(b.batch().positions[static_cast<size_t>(row + i)], s.position + i);
    }
    row += s.count;
  }
  EXPECT_EQ(row, b.rows());
}

TEST(SequenceBatch, EveryTargetSeesItsPrefixAndBranchAndNothingElse) {
  for (const int64_t prefix : {0, 1, 15, 16, 17, 32, 40}) {
    SequenceGroup g;
    g.prefix = numbered(1000, prefix);
    int32_t next = 2000;
    for (const int64_t length : {1, 2, 15, 16, 17, 18, 33, 0, 5}) {
      g.branches.push_back(numbered(next, length));
      next += 100;
    }
    SequenceBatch b;
    b.add(g, 0, g.branches.size());
    SCOPED_TRACE("prefix of " + std::to_string(prefix));
    expect_well_formed(b);
    EXPECT_EQ(targets_of(b), expected_targets(g, 0, g.branches.size()));
  }
}

TEST(SequenceBatch, GroupsDoNotMeet) {
  SequenceGroup first, second, third;
  first.prefix = numbered(0, 20);
  first.branches = {numbered(100, 9), numbered(200, 30), numbered(300, 3)};
  second.branches = {numbered(400, 25), numbered(500, 1), numbered(600, 7)};
  third.prefix = numbered(700, 16);
  third.branches = {numbered(800, 1), numbered(900, 2)};
  SequenceBatch b;
  b.add(first, 1, 3);
  b.add(second, 0, 3);
  b.add(third, 0, 2);
  expect_well_formed(b);
  std::vector<Target> expected = expected_targets(first, 1, 3);
  for (const Target& t : expected_targets(second, 0, 3)) expected.push_back(t);
  for (const Target& t : expected_targets(third, 0, 2)) expected.push_back(t);
  EXPECT_EQ(targets_of(b), expected);
  // Families: those that share pages, next to each other.
  std::vector<int32_t> families;
  for (const Sequence& s : b.batch().seqs) families.push_back(s.family);
  EXPECT_EQ(families, (std::vector<int32_t>{0, 0, 0, 1, 1, 2, 2}));
}

TEST(SequenceBatch, PrefixIsComputedOnceAndItsFullPagesAreShared) {
  SequenceGroup g;
  g.prefix = numbered(0, 37);  // two full pages and 5 slots of a third
  g.branches = {numbered(100, 12), numbered(200, 13)};
  SequenceBatch b;
  b.add(g, 0, 2);
  EXPECT_EQ(b.rows(), 37 + 11 + 12);  // a branch's last token predicts nothing
  const std::vector<Sequence>& seqs = b.batch().seqs;
  ASSERT_EQ(seqs.size(), 3u);
  for (size_t branch : {size_t{1}, size_t{2}}) {
    EXPECT_EQ(seqs[branch].position, 37);
    EXPECT_EQ(seqs[branch].pages[0], seqs[0].pages[0]);
    EXPECT_EQ(seqs[branch].pages[1], seqs[0].pages[1]);
    EXPECT_NE(seqs[branch].pages[2], seqs[0].pages[2]);
    const PageCopy& copy = b.batch().copies[branch - 1];
    EXPECT_EQ(copy.from, seqs[0].pages[2]);
    EXPECT_EQ(copy.to, seqs[branch].pages[2]);
    EXPECT_EQ(copy.slots, 5);
  }
  // 37 + 11 = 48 positions end with the third page; 37 + 12 begin a fourth.
  EXPECT_EQ(b.pages(), 3 + 1 + 2);
}

TEST(SequenceBatch, PrefixOfWholePagesNeedsNoCopy) {
  SequenceGroup g;
  g.prefix = numbered(0, 32);
  g.branches = {numbered(100, 12), numbered(200, 13)};
  SequenceBatch b;
  b.add(g, 0, 2);
  EXPECT_TRUE(b.batch().copies.empty());
  EXPECT_EQ(b.pages(), 2 + 1 + 1);
}

TEST(SequenceBatch, MasksChooseTheTargets) {
  SequenceGroup g;
  g.prefix = {1, 2, 3};
  g.branches = {{10, 11, 12}, {20, 21}, {30}};
  g.masks = {{0, 1, 1}, {0, 0}, {1}};
  SequenceBatch b;
  b.add(g, 0, 3);
  EXPECT_EQ(Ids(b.targets().begin(), b.targets().end()), (Ids{11, 12, 30}));
  EXPECT_EQ(targets_of(b), expected_targets(g, 0, 3));

  g.prefix.clear();  // a first token that nothing predicts has no loss, whatever its mask says
  g.masks = {{1, 0, 1}, {1, 1}, {1}};
  SequenceBatch alone;
  alone.add(g, 0, 3);
  EXPECT_EQ(Ids(alone.targets().begin(), alone.targets().end()), (Ids{12, 21}));
  EXPECT_EQ(targets_of(alone), expected_targets(g, 0, 3));
}

TEST(SequenceBatch, ClearedIsAsNew) {
  SequenceGroup g;
  g.prefix = numbered(0, 20);
  g.branches = {numbered(100, 9)};
  SequenceBatch used, fresh;
  used.add(g, 0, 1);
  used.clear();
  EXPECT_EQ(used.rows(), 0);
  EXPECT_EQ(used.pages(), 0);
  EXPECT_TRUE(used.targets().empty());
  used.add(g, 0, 1);
  fresh.add(g, 0, 1);
  EXPECT_EQ(used.pages(), fresh.pages());
  EXPECT_EQ(used.batch().seqs.back().family, fresh.batch().seqs.back().family);
  EXPECT_EQ(targets_of(used), targets_of(fresh));
}

static_assert(!std::is_copy_constructible_v<SequenceBatch>);
static_assert(!std::is_copy_assignable_v<SequenceBatch>);

// A vector of batches grows, and those in it move: what they point into must move along.
TEST(SequenceBatch, MovedKeepsItsTables) {
  std::vector<SequenceBatch> batches;
  std::vector<SequenceGroup> groups;
  for (int32_t i = 0; i < 40; ++i) {
    SequenceGroup g;
    g.prefix = numbered(1000 * i, 1 + i);
    g.branches = {numbered(1000 * i + 100, 20), numbered(1000 * i + 200, 3)};
    groups.push_back(g);
    batches.emplace_back();
    batches.back().add(g, 0, 2);
  }
  SequenceBatch assigned;
  assigned.add(groups[3], 0, 2);
  assigned = std::move(batches[7]);
  EXPECT_EQ(targets_of(assigned), expected_targets(groups[7], 0, 2));
  for (size_t i = 0; i < groups.size(); ++i) {
    if (i == 7) continue;
    EXPECT_EQ(targets_of(batches[i]), expected_targets(groups[i], 0, 2)) << i;
  }
}

}  // namespace
}  // namespace r1
