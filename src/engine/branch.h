// A request inside the engine, and its completions while they are written.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/completion_text.h"
#include "engine/kv_store.h"
#include "engine/request.h"

namespace r1 {

struct Branch;

struct Group {
  int64_t id = 0;
  Request request;
  TokenSink sink;
  std::vector<Completion> completions;
  // Those that were preempted, by index. They come before the ones that were never launched.
  std::map<int64_t, std::unique_ptr<Branch>> preempted;
  int64_t launched = 0, finished = 0;
  bool prompt_computed = false;  // once: the others of the group may start
  bool done = false;             // may be taken

  int64_t prompt_size() const { return static_cast<int64_t>(request.prompt.size()); }
};

// A completion that is being written: a branch of its group's prompt.
struct Branch {
  Group* group = nullptr;
  int64_t index = 0;
  PageTable table;
  int64_t computed = 0;  // positions whose keys are written
  int64_t reached = 0;   // the most that ever were
  bool finished = false;
  std::unique_ptr<CompletionText> text;  // where somebody listens, or its text may end it

  Completion& completion() const { return group->completions[static_cast<size_t>(index)]; }
  TokenView tokens() const { return {group->request.prompt, completion().ids}; }
  // Whose next token is to be drawn once their keys are written.
  int64_t missing() const { return tokens().size() - computed; }
  bool older_than(const Branch& other) const {
    return group->id != other.group->id ? group->id < other.group->id : index < other.index;
  }
};

}  // namespace r1
