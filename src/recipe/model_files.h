// Where a model's files are: what users may write for MODEL on the command line and in recipes.
#pragma once

#include <filesystem>
#include <string>

#include "text/tokenizer.h"
#include "train/checkpoint.h"

namespace r1 {

inline constexpr const char* kShippedModel = "countdown-base";

// The Hugging Face folder that `model` means:
//   ""                      the shipped model
//   a folder                itself, if it holds config.json
//   a run folder            its newest checkpoint
//   a name without slashes  that model among the shipped ones
//   "org/name"              its newest snapshot in the Hugging Face cache (HF_HOME)
// InputError says what was looked for and where.
std::filesystem::path resolve_model(const std::string& model);

// Where the shipped models are: R1_MODELS from the environment, else models/ beside the program,
// in its share/r1, or in the source tree.
std::filesystem::path shipped_models();

// tokenizer.json, tokenizer_config.json and chat_template.jinja of a model's folder, or the number tokenizer's for
// "numbers" (text/number_tokenizer.h). A path to a tokenizer.json is read too. InputError if there
// is none.
TokenizerFiles tokenizer_files(const std::string& folder_or_name);
Tokenizer parse_tokenizer(const TokenizerFiles& files, const std::string& where);

}  // namespace r1
