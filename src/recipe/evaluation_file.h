// An evaluation's completions in a file, so that one that was interrupted goes on where it was:
// a first row with what the evaluation is, then a row for each problem that is done. kill -9 at any
// instant loses unfinished problems alone (row_file.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "recipe/row_file.h"
#include "rl/rollout.h"

namespace r1 {

class EvaluationFile {
 public:
  // `path`: a FILE.jsonl, or a folder, in which it is completions.jsonl. InputError where the file
  // is of an evaluation with other settings, naming the first that differs.
  EvaluationFile(const std::filesystem::path& path, const OrderedJson& settings);

  // The completions of problem number `problem` under a thinking budget, if they are there: texts,
  // ids, verdicts and votes.
  const RolloutGroup* find(int64_t budget, uint64_t problem) const;
  // `prompt`: its text, for readers.
  void add(int64_t budget, uint64_t problem, const std::string& prompt, const RolloutGroup& group);

 private:
  std::map<std::pair<int64_t, uint64_t>, RolloutGroup> groups_;
  RowFile file_;
};

}  // namespace r1
