// Checkpoints: a Hugging Face folder with the trainer's state beside the weights.
//
//   step-N/  config.json  model.safetensors  generation_config.json  tokenizer.json
//            trainer_state.safetensors   AdamW's moments
//            trainer_state.json          updates taken, and what the stage adds
//            manifest.json               XXH3 checksums of all of these, written last
//
// A checkpoint is written under a temporary name, flushed and renamed: a reader sees a whole one or
// none. One whose manifest does not match is as good as absent.
#pragma once

#include <filesystem>
#include <optional>

#include "base/json.h"
#include "train/trainer.h"

namespace r1 {

// Writes folder/step-`step`, replacing an older one of that name. `tokenizer_json` is saved as it
// is; `state` is the caller's and comes back from load_checkpoint. JobError if the disk refuses.
void save_checkpoint(const std::filesystem::path& folder, int64_t step, Trainer& trainer,
                     const std::string& tokenizer_json, const Json& state);

struct CheckpointInfo {
  std::filesystem::path path;
  int64_t step = 0;
  Json state;
};

// The newest checkpoint in `folder` whose files match its manifest.
std::optional<CheckpointInfo> newest_checkpoint(const std::filesystem::path& folder);

// Restores AdamW's state into a trainer whose model was loaded from the same checkpoint.
// InputError if it does not fit the model.
void load_trainer_state(const CheckpointInfo& checkpoint, Trainer& trainer);

// Removes all but the newest `keep` checkpoints.
void prune_checkpoints(const std::filesystem::path& folder, int64_t keep);

}  // namespace r1
