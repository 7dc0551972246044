#include "package/model_files.h"

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "io/safetensors.h"
#include "package/checkpoints.h"
#include "package/gguf_model.h"
#include "package/gguf_tokenizer.h"
#include "text/number_tokenizer.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

fs::path hugging_face_cache() {
  if (const std::string hub = environment("HF_HUB_CACHE"); !hub.empty()) return hub;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  const std::string cache = environment("XDG_CACHE_HOME");
  return (cache.empty() ? fs::path(environment("HOME")) / ".cache" : fs::path(cache)) /
         "huggingface" / "hub";
}

// hub/models--org--name/refs/REVISION names the snapshot; or REVISION is its name.
fs::path in_cache(const std::string& model) {
  const size_t at = model.find('@');
  const std::string name = model.substr(0, at);
  std::string snapshot = at == std::string::npos ? "main" : model.substr(at + 1);
  // Names as the hub has them, and so none that leads out of the cache.
  if (snapshot.empty() || model.find("..") != std::string::npos || model.front() == '/') return {};
  std::string folder = "models--" + name;
  for (size_t slash; (slash = folder.find('/')) != std::string::npos;) {
    folder.replace(slash, 1, "--");
  }
  const fs::path root = hugging_face_cache() / folder;
  if (is_file(root / "refs" / snapshot)) {
    snapshot = read_file(root / "refs" / snapshot, 1000);
    while (!snapshot.empty() && snapshot.back() == '\n') snapshot.pop_back();
  }
  if (fs::path(snapshot).filename() != snapshot) return {};
  return root / "snapshots" / snapshot;
}

// What transformers' AutoTokenizer needs beside tokenizer.json.
std::string number_tokenizer_config() {
  const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"eos_token", kEndOfText},
                       {"pad_token", kEndOfText},
                       {"clean_up_tokenization_spaces", false}};
  return config.dump(2) + "\n";
}

Json read_json(const fs::path& path) {
  return parse_json(read_file(path, uint64_t{64} << 20), path.string());
}

ModelFiles open_folder(const fs::path& folder) {
  ModelFiles files;
  files.path = folder;
  const fs::path config = folder / "config.json", generation = folder / "generation_config.json";
  files.config_json = read_json(config);
  files.config = parse_model_config(files.config_json, config.string());
  files.tokenizer = tokenizer_files(folder.string());
  if (is_file(generation)) files.generation = read_json(generation);
  files.tensors = std::make_shared<SafeTensors>(SafeTensors::open(folder));
  return files;
}

// The sampling that the file recommends, under the names of generation_config.json.
Json generation_of(const GgufMetadata& metadata) {
  Json generation = Json::object();
  for (const auto& [key, name] : kSamplingKeys) {
    const auto it = metadata.find(key);
    if (it != metadata.end() && it->second.value.is_number()) generation[name] = it->second.value;
  }
  if (!generation.empty()) generation["do_sample"] = true;
  return generation;
}

TokenizerFiles gguf_tokenizer_files(const GgufMetadata& metadata, const std::string& where) {
  return {{"tokenizer.json", tokenizer_json_from_gguf(metadata, where)},
          {"tokenizer_config.json", tokenizer_config_from_gguf(metadata, where)}};
}

ModelFiles open_gguf(const fs::path& path) {
  const auto model = GgufModel::open(path);
  ModelFiles files;
  files.path = path;
  files.config_json = model->config();
  files.config = parse_model_config(files.config_json, path.string());
  files.tokenizer = gguf_tokenizer_files(model->file().metadata(), path.string());
  files.generation = generation_of(model->file().metadata());
  files.tensors = model;
  return files;
}

}  // namespace

bool is_gguf(const fs::path& path) {
  return path.extension() == ".gguf";
}

std::string ModelFiles::where(const char* file) const {
  return (is_gguf(path) ? path : path / file).string();
}

ModelFiles open_model_files(const fs::path& path) {
  return is_gguf(path) ? open_gguf(path) : open_folder(path);
}

fs::path shipped_models() {
  if (const std::string path = environment("R1_MODELS"); !path.empty()) return path;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char* place : {"models", "../models", "../share/r1/models"}) {
    if (is_folder(program / place)) return (program / place).lexically_normal();
  }
  return fs::path(R1_SOURCE_MODELS);
}

fs::path resolve_model(const std::string& model) {
  const fs::path given = model.empty() ? fs::path(kShippedModel) : fs::path(model);
  if (is_file(given / "config.json") || (is_gguf(given) && is_file(given))) return given;
  if (is_folder(given / "checkpoints")) {
    if (const auto checkpoint = newest_checkpoint(given / "checkpoints")) return checkpoint->path;
    throw InputError(given.string() + ": this run has no finished checkpoint yet");
  }
  if (is_folder(given)) {
    throw InputError(given.string() +
                     ": expected config.json in a model's folder, or checkpoints/ "
                     "in a run's");
  }
  const fs::path shipped = shipped_models() / given;
  if (given.filename() == given && is_file(shipped / "config.json")) return shipped;
  const fs::path cached = in_cache(given.string());
  if (!cached.empty() && is_file(cached / "config.json")) return cached;
  throw InputError(given.string() + ": no such model: not a folder here, not in " +
                   shipped_models().string() + ", not in " + hugging_face_cache().string());
}

namespace {

// What a config.json says of special tokens and ModelConfig does not know: adds it to `file`.
void keep_token_ids(const fs::path& file, const Json& from) {
  Json config = parse_json(read_file(file), file.string());
  bool any = false;
  for (const char* key : {"bos_token_id", "pad_token_id"}) {
    if (config.contains(key) || !from.contains(key)) continue;
    config[key] = from[key];
    any = true;
  }
  if (any) write_file_atomic(file, config.dump(2) + "\n");
}

}  // namespace

void save_model(const fs::path& folder, const Model& model, const ModelCompanions& companions) {
  model.save(folder);
  keep_token_ids(folder / "config.json", companions.config_json);
  Json generation = companions.generation;
  if (generation.empty()) {
    generation = {{"do_sample", true}, {"temperature", 1.0}};
    const auto& eos = model.config().eos_token_ids;
    if (!eos.empty()) generation["eos_token_id"] = eos;
  }
  write_file_atomic(folder / "generation_config.json", generation.dump(2) + "\n");
  for (const auto& [name, text] : companions.tokenizer) write_file_atomic(folder / name, text);
}

TokenizerFiles tokenizer_files(const std::string& name) {
  if (name == "numbers") {
    return {{"tokenizer.json", number_tokenizer_json()},
            {"tokenizer_config.json", number_tokenizer_config()}};
  }
  if (is_gguf(name)) return gguf_tokenizer_files(Gguf::open(name).metadata(), name);
  const fs::path path(name), file = is_folder(path) ? path / "tokenizer.json" : path;
  if (!is_file(file)) throw InputError(file.string() + ": no such file; a model needs a tokenizer");
  TokenizerFiles files = {{"tokenizer.json", read_file(file, uint64_t{256} << 20)}};
  for (const char* beside : {"tokenizer_config.json", "chat_template.jinja"}) {
    const fs::path more = file.parent_path() / beside;
    if (is_file(more)) files[beside] = read_file(more, uint64_t{16} << 20);
  }
  return files;
}

Tokenizer parse_tokenizer(const TokenizerFiles& files, const std::string& where) {
  return Tokenizer::parse(files.at("tokenizer.json"), where);
}

}  // namespace r1
