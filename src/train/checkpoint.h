// What a trainer keeps in a checkpoint (package/checkpoints.h): a Hugging Face folder with the
// trainer's state beside the weights.
//
//   step-N/  config.json  model.safetensors  generation_config.json  tokenizer.json  ...
//            trainer_state.safetensors   AdamW's moments; the KL term's reference if there is one
//            trainer_state.json          updates taken, and what the stage adds
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/json.h"
#include "package/checkpoints.h"
#include "package/model_files.h"
#include "train/trainer.h"

namespace r1 {

// Writes folder/step-`step`, replacing an older one of that name. `state` is the caller's and comes
// back from newest_checkpoint; `reference` may be empty. JobError if the disk refuses.
void save_checkpoint(const std::filesystem::path& folder, int64_t step, Trainer& trainer,
                     std::span<const float> reference, const ModelCompanions& companions,
                     const Json& state);

// Restores AdamW's state into a trainer whose model was loaded from the same checkpoint; returns
// the reference, if there is one. InputError if it does not fit the model.
std::vector<float> load_trainer_state(const CheckpointInfo& checkpoint, Trainer& trainer);

}  // namespace r1
