// A run's checkpoints as folders: which there are, which are whole, which to keep. What a trainer
// keeps in one is train/checkpoint.h's business.
//
//   step-N/  a model's folder (model_files.h) with more files beside it
//            trainer_state.json          {"state": what the stage adds, ...}
//            manifest.json               XXH3 checksums of all others, written last
//
// A checkpoint is written under a temporary name, flushed and renamed: a reader sees a whole one or
// none. One whose manifest does not match is as good as absent.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include "base/json.h"

namespace r1 {

struct CheckpointInfo {
  std::filesystem::path path;
  int64_t step = 0;
  Json state;
};

// The newest checkpoint in `folder` whose files match its manifest. InputError if its
// trainer_state.json is none of ours all the same.
std::optional<CheckpointInfo> newest_checkpoint(const std::filesystem::path& folder);

// All of trainer_state.json. InputError if it is no object.
Json read_trainer_state(const std::filesystem::path& checkpoint);

// Makes folder/step-`step`, replacing an older one of that name, of what `write` puts into the
// folder it is given. JobError if the disk refuses.
void write_checkpoint(const std::filesystem::path& folder, int64_t step,
                      const std::function<void(const std::filesystem::path& temporary)>& write);

// Removes all checkpoints older than the newest `keep` whose files match their manifests, but for
// those of the steps `named`: a damaged one never takes the place of a whole one.
void prune_checkpoints(const std::filesystem::path& folder, int64_t keep,
                       const std::set<int64_t>& named = {});
// The checkpoint of that step. InputError if it is missing or its files do not match its manifest.
CheckpointInfo checkpoint_at(const std::filesystem::path& folder, int64_t step);

}  // namespace r1
