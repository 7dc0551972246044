// Who runs: which completions have rows in the next batch, how many, and on which pages.
//
// Completions have an order: by request, then by index; the oldest come first. Pages are taken when
// keys are about to be written. When there are none the youngest that runs is preempted: its pages
// are given back, it waits again, and is computed anew from its prompt and the tokens it has. So
// the oldest always goes on, and since any one fits alone, all end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/branch.h"
#include "engine/kv_store.h"

namespace r1 {

struct SchedulerLimits {
  int64_t max_sequences = 1, max_batch_tokens = 2, prefill_chunk = 1;
};

class Scheduler {
 public:
  // Rows of a batch that are a branch's next positions.
  struct Slice {
    Branch* branch;
    int64_t rows;
  };
  struct Plan {
    std::vector<Slice> slices;
    std::vector<PageCopy> copies;  // of prompts' last pages, to be made in this batch
  };

  Scheduler(KvStore& store, const SchedulerLimits& limits) : store_(store), limits_(limits) {}

  // Its completions wait. The group must stay until it is removed or all of them are finished.
  void add(Group& group) { waiting_[group.id] = &group; }
  bool idle() const { return running_.empty() && waiting_.empty(); }

  // What the next batch is. Empty only if idle. Valid until the next call of anything.
  const Plan& plan();
  // The prompt of a branch is computed, for the first time in its group: launches the others as far
  // as there is room. They have the prompt's keys, but for a copy that `copies` gets, which is to
  // be made before anything finishes.
  std::vector<Branch*> fork(Branch& leader, std::vector<PageCopy>& copies);

  // Gives up branches that are finished.
  void remove_finished();
  // Gives up all that a group still has.
  void remove(Group& group);
  // All that run wait again.
  void preempt_all();

  const std::vector<std::unique_ptr<Branch>>& running() const { return running_; }
  int64_t preemptions() const { return preemptions_; }
  // Positions whose keys were found (KvStore::reuse).
  int64_t reused() const { return reused_; }

 private:
  int64_t running_count() const { return static_cast<int64_t>(running_.size()); }
  void grow_running();
  void admit();
  static bool ready(const Group& group);
  bool start_next(Group& group);
  bool give_pages(Branch& branch);
  const Branch* sibling_of(const Branch& branch) const;
  void run(std::unique_ptr<Branch> branch);
  void preempt_youngest();

  KvStore& store_;
  SchedulerLimits limits_;
  std::vector<std::unique_ptr<Branch>> running_;  // oldest first
  std::map<int64_t, Group*> waiting_;             // groups with something to start, by id
  Plan plan_;
  int64_t room_ = 0;  // rows that the batch still has for prompts
  int64_t preemptions_ = 0, reused_ = 0;
};

}  // namespace r1
