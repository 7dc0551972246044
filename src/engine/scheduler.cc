#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace r1 {
namespace {

bool nothing_to_start(const Group& group) {
  return group.preempted.empty() && group.launched == group.request.n;
}

}  // namespace

const Scheduler::Plan& Scheduler::plan() {
  plan_.slices.clear();
  plan_.copies.clear();
  room_ = limits_.max_batch_tokens;
  for (const auto& b : running_) room_ -= b->missing() == 1 ? 1 : 0;
  grow_running();
  admit();
  R1_CHECK(idle() || !plan_.slices.empty());
  return plan_;
}

// A row for each that decodes, a chunk for each that is computed.
void Scheduler::grow_running() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Branch& b = *running_[i];
    const bool decodes = b.missing() == 1;
    const int64_t rows = decodes ? 1 : std::min({b.missing(), limits_.prefill_chunk, room_});
    if (rows <= 0) continue;
    while (!store_.grow(b.table, b.computed + rows)) {
      preempt_youngest();
      if (i == running_.size()) return;  // it was the youngest itself
    }
    if (!decodes) room_ -= rows;
    plan_.slices.push_back({&b, rows});
  }
}

// In order: where the next one has no room, none after it starts, so nobody is overtaken for ever.
void Scheduler::admit() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    Group& g = *it->second;
    while (ready(g)) {
      if (!start_next(g)) return;
    }
    it = nothing_to_start(g) ? waiting_.erase(it) : std::next(it);
  }
}

// All but a group's first wait until the prompt is computed, which is then theirs too.
bool Scheduler::ready(const Group& group) {
  if (!group.preempted.empty()) return true;
  return group.launched < group.request.n && (group.launched == 0 || group.prompt_computed);
}

bool Scheduler::start_next(Group& g) {
  if (running_count() >= limits_.max_sequences || room_ <= 0) return false;
  if (!running_.empty() && store_.available() == 0) return false;
  const bool is_new = g.preempted.empty();
  std::unique_ptr<Branch> b;
  if (is_new) {
    b = std::make_unique<Branch>();
    b->group = &g;
    b->index = g.launched;
  } else {
    b = std::move(g.preempted.begin()->second);
    g.preempted.erase(g.preempted.begin());
  }
  if (!give_pages(*b)) {
    if (!is_new) g.preempted[b->index] = std::move(b);
    return false;
  }
  if (is_new) ++g.launched;
  const int64_t rows = std::min({b->missing(), limits_.prefill_chunk, room_});
  R1_CHECK(store_.grow(b->table, b->computed + rows));
  room_ -= rows;
  plan_.slices.push_back({b.get(), rows});
  run(std::move(b));
  return true;
}

// What others have of its tokens. False, and nothing is done, if the rest does not fit beside a
// page for each that runs, which would soon preempt it again.
bool Scheduler::give_pages(Branch& b) {
  const TokenView tokens = b.tokens();
  const Branch* sibling = sibling_of(b);
  const size_t copies = plan_.copies.size();
  int64_t reused = 0;
  if (sibling != nullptr) {
    // The prompt's last row is computed again, for its hidden state.
    const int64_t positions = b.group->prompt_size() - 1;
    if (!store_.branch(sibling->table, positions, b.table, plan_.copies)) return false;
    b.computed = positions;
  } else {
    b.computed = reused = store_.reuse(b.table, tokens, tokens.size() - 1);
  }
  const int64_t more = pages_for(tokens.size()) - std::ssize(b.table.pages);
  if (!running_.empty() && more + running_count() > store_.available()) {
    plan_.copies.resize(copies);
    store_.release(b.table);
    b.computed = 0;
    return false;
  }
  reused_ += reused;
  return true;
}

// One that has the whole prompt, for one that has nothing more than it.
const Branch* Scheduler::sibling_of(const Branch& b) const {
  if (b.tokens().size() > b.group->prompt_size()) return nullptr;
  for (const auto& other : running_) {
    if (other->group == b.group && other->computed >= b.group->prompt_size()) return other.get();
  }
  return nullptr;
}

std::vector<Branch*> Scheduler::fork(Branch& leader, std::vector<PageCopy>& copies) {
  Group& g = *leader.group;
  R1_CHECK(!g.prompt_computed && leader.computed == g.prompt_size());
  g.prompt_computed = true;
  std::vector<Branch*> forked;
  for (const auto& [id, older] : waiting_) {
    if (id >= g.id) break;
    if (ready(*older)) return forked;
  }
  while (g.launched < g.request.n && running_count() < limits_.max_sequences &&
         store_.available() > running_count()) {
    auto b = std::make_unique<Branch>();
    b->group = &g;
    b->index = g.launched++;
    b->computed = b->reached = g.prompt_size();
    R1_CHECK(store_.branch(leader.table, g.prompt_size(), b->table, copies));
    forked.push_back(b.get());
    run(std::move(b));
  }
  if (nothing_to_start(g)) waiting_.erase(g.id);
  return forked;
}

void Scheduler::run(std::unique_ptr<Branch> branch) {
  const auto place =
      std::upper_bound(running_.begin(), running_.end(), branch,
                       [](const auto& a, const auto& b) { return a->older_than(*b); });
  running_.insert(place, std::move(branch));
}

void Scheduler::preempt_youngest() {
  std::unique_ptr<Branch> b = std::move(running_.back());
  running_.pop_back();
  store_.release(b->table);
  b->computed = 0;
  ++preemptions_;
  Group& g = *b->group;
  waiting_[g.id] = &g;
  g.preempted[b->index] = std::move(b);
}

void Scheduler::preempt_all() {
  while (!running_.empty()) preempt_youngest();
}

void Scheduler::remove_finished() {
  std::erase_if(running_, [&](const std::unique_ptr<Branch>& b) {
    if (b->finished) store_.release(b->table);
    return b->finished;
  });
}

void Scheduler::remove(Group& group) {
  for (auto& b : running_) b->finished = b->finished || b->group == &group;
  remove_finished();
  group.preempted.clear();
  waiting_.erase(group.id);
}

}  // namespace r1
