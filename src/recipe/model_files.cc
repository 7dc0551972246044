#include "recipe/model_files.h"

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "base/files.h"
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
  return fs::path(environment("HOME")) / ".cache" / "huggingface" / "hub";
}

// hub/models--org--name/refs/main names the snapshot.
fs::path in_cache(const std::string& name) {
  std::string folder = "models--" + name;
  for (size_t at; (at = folder.find('/')) != std::string::npos;) folder.replace(at, 1, "--");
  const fs::path root = hugging_face_cache() / folder;
  if (!is_file(root / "refs" / "main")) return {};
  std::string snapshot = read_file(root / "refs" / "main", 1000);
  while (!snapshot.empty() && snapshot.back() == '\n') snapshot.pop_back();
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

}  // namespace

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
  if (is_file(given / "config.json")) return given;
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

TokenizerFiles tokenizer_files(const std::string& name) {
  if (name == "numbers") {
    return {{"tokenizer.json", number_tokenizer_json()},
            {"tokenizer_config.json", number_tokenizer_config()}};
  }
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
