// Checkpoints: a Hugging Face folder with the trainer's state beside the weights.
//
//   step-N/  config.json  model.safetensors  generation_config.json  tokenizer.json  ...
//            trainer_state.safetensors   AdamW's moments; the KL term's reference if there is one
//            trainer_state.json          updates taken, and what the stage adds
//            manifest.json               XXH3 checksums of all of these, written last
//
// A checkpoint is written under a temporary name, flushed and renamed: a reader sees a whole one or
// none. One whose manifest does not match is as good as absent.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "train/trainer.h"

namespace r1 {

// The files of a tokenizer by name: "tokenizer.json", "tokenizer_config.json".
using TokenizerFiles = std::map<std::string, std::string>;

// Writes folder/step-`step`, replacing an older one of that name. `state` is the caller's and comes
// back from newest_checkpoint; `reference` may be empty. JobError if the disk refuses.
void save_checkpoint(const std::filesystem::path& folder, int64_t step, Trainer& trainer,
                     std::span<const float> reference, const TokenizerFiles& tokenizer,
                     const Json& state);

struct CheckpointInfo {
  std::filesystem::path path;
  int64_t step = 0;
  Json state;
};

// The newest checkpoint in `folder` whose files match its manifest. InputError if its
// trainer_state.json is none of ours all the same.
std::optional<CheckpointInfo> newest_checkpoint(const std::filesystem::path& folder);

// Restores AdamW's state into a trainer whose model was loaded from the same checkpoint; returns
// the reference, if there is one. InputError if it does not fit the model.
std::vector<float> load_trainer_state(const CheckpointInfo& checkpoint, Trainer& trainer);

// Removes all checkpoints older than the newest `keep` whose files match their manifests: a damaged
// one never takes the place of a whole one.
void prune_checkpoints(const std::filesystem::path& folder, int64_t keep);

}  // namespace r1
