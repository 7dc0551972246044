// Where a model's files are: what users may write for MODEL on the command line and in recipes;
// what is in them, whatever their format; and a folder of them written anew.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/json.h"
#include "io/tensor_source.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace r1 {

inline constexpr const char* kShippedModel = "countdown-base";

// The Hugging Face folder or the GGUF file that `model` means:
//   ""                      the shipped model
//   a folder                itself, if it holds config.json
//   a file NAME.gguf        itself
//   a run folder            its newest checkpoint
//   a name without slashes  that model among the shipped ones
//   "org/name"              its snapshot of the branch main in the Hugging Face cache (HF_HOME)
//   "org/name@revision"     that of another branch, a tag or a commit
// InputError says what was looked for and where.
std::filesystem::path resolve_model(const std::string& model);

// Where the shipped models are: R1_MODELS from the environment, else models/ beside the program,
// in its share/r1, or in the source tree.
std::filesystem::path shipped_models();

bool is_gguf(const std::filesystem::path& path);

// The files of a tokenizer by name: "tokenizer.json", "tokenizer_config.json".
using TokenizerFiles = std::map<std::string, std::string>;

// What goes with a model's weights and config wherever they go.
struct ModelCompanions {
  TokenizerFiles tokenizer;
  Json generation = Json::object();   // generation_config.json
  Json config_json = Json::object();  // config.json as it stands; of a GGUF file, what it would be
};

// An open model. Its weights are mapped, not read.
struct ModelFiles : ModelCompanions {
  std::filesystem::path path;  // as resolve_model gives it
  ModelConfig config;
  std::shared_ptr<const TensorSource> tensors;

  // Where `file` ("tokenizer.json"), or what stands for it, is: for messages.
  std::string where(const char* file) const;
};
// InputError names the file that is missing or wrong.
ModelFiles open_model_files(const std::filesystem::path& path);

// Writes a Hugging Face folder: config.json, model.safetensors and what goes with them, each
// atomically. The model must be of Use::kTraining. Its config.json is r1's, with the ids of special
// tokens that the companions' has beside. Where there is no generation_config.json, it says to
// sample at temperature 1 and to stop where the config does.
void save_model(const std::filesystem::path& folder, const Model& model,
                const ModelCompanions& companions);

// tokenizer.json, tokenizer_config.json and chat_template.jinja of a model's folder or GGUF file,
// or the number tokenizer's for "numbers" (text/number_tokenizer.h). A path to a tokenizer.json is
// read too. InputError if there is none.
TokenizerFiles tokenizer_files(const std::string& model_or_name);
Tokenizer parse_tokenizer(const TokenizerFiles& files, const std::string& where);

}  // namespace r1
