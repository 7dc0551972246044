// The folder that a run writes: docs/formats/run-folder.md describes its files.
//
// What is on the disk is always whole: rows are appended one write each (row_file.h), other files
// are replaced atomically. metrics.jsonl is the truth; TensorBoard's events are made from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "recipe/ledger.h"
#include "recipe/row_file.h"

namespace r1 {

class EventWriter;

// One sampled completion of a training step.
struct CompletionRow {
  int64_t step = 0;
  std::string prompt;
  std::string completion;
  std::vector<std::string> tokens;  // the completion's pieces; one may hold part of a character
  std::vector<float> logprobs;      // of each token as sampled, natural logarithm
  std::vector<std::pair<std::string, double>> rewards;  // by name, before their weights
  double reward = 0;                                    // their weighted sum
  double advantage = 0;
  bool correct = false;
  std::string reason;  // the verifier's
};

class RunFolder {
 public:
  // Creates the folder, or opens one to go on writing to it, for this process alone. JobError if it
  // cannot be written to or another process has it open; InputError if the folder holds files but
  // is no run.
  explicit RunFolder(std::filesystem::path path);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path recipe_path() const { return path_ / "recipe.toml"; }
  std::filesystem::path ledger_path() const { return path_ / "ledger.json"; }
  std::filesystem::path checkpoints_path() const { return path_ / "checkpoints"; }

  // The data set that a stage makes.
  std::filesystem::path dataset_path(std::string_view stage) const {
    return path_ / "data" / (std::string(stage) + ".jsonl");
  }

  // The resolved recipe. The report reads its top-level `name`, `version` and `seed`.
  void write_recipe(std::string_view toml);
  // `row` has a string `stage` and a whole number `step`; `time` (seconds since 1970) is added.
  // Every other number becomes a TensorBoard scalar STAGE/FIELD, of an eval row STAGE/LABEL/FIELD.
  void add_metrics(OrderedJson row);
  // Replaces a stage's data set as one: all of its rows are there or none.
  void write_dataset(std::string_view stage, std::span<const OrderedJson> rows);
  // To completions/STAGE.jsonl. One logprob a token is required.
  void add_completions(std::string_view stage, std::span<const CompletionRow> rows);
  void write_ledger(const Ledger& ledger);

  // On resume from a checkpoint: drops this stage's metrics and completions of later steps. -1
  // drops all of a stage that is to begin anew, its data set too. Rows that say what a resumed run
  // changed stay. Each file changes atomically.
  void drop_after(std::string_view stage, int64_t step);
  // Everything written so far survives a power failure: before a checkpoint is committed.
  void sync();

 private:
  RowFile& completions(std::string_view stage);
  void restart_events();
  void add_events(const Json& row);

  std::filesystem::path path_;
  int lock_ = -1;  // the folder's descriptor, locked
  std::unique_ptr<RowFile> metrics_;
  std::map<std::string, RowFile, std::less<>> completions_;
  std::unique_ptr<EventWriter> events_;
};

// "grpo", "sft-2": names a file, so letters, digits, - and _ alone, at most 64. InputError
// otherwise.
void check_stage_name(std::string_view stage);

}  // namespace r1
