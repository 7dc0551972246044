#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "io/safetensors.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "step-";

std::optional<int64_t> step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* begin = name.data() + std::strlen(kPrefix);
  const char* end = name.data() + name.size();
  int64_t step = 0;
  const auto [stop, error] = std::from_chars(begin, end, step);
  if (error != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

std::string checksum(const fs::path& file) {
  const MappedFile mapped(file);
  return xxh3_hex(mapped.bytes());
}

void write_manifest(const fs::path& folder) {
  Json files = Json::object();
  for (const auto& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename().string()] = checksum(entry.path());
  }
  write_file_atomic(folder / "manifest.json", Json{{"xxh3", files}}.dump(2) + "\n");
}

bool manifest_matches(const fs::path& folder) {
  try {
    const auto path = folder / "manifest.json";
    const Json manifest = parse_json(read_file(path), path.string());
    const Json& files = manifest.at("xxh3");
    if (files.empty()) return false;
    for (const auto& [name, sum] : files.items()) {
      if (fs::path(name).filename() != name || checksum(folder / name) != sum) return false;
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

// trainer_state.json of a checkpoint.
Json read_state(const fs::path& checkpoint) {
  const auto path = checkpoint / "trainer_state.json";
  Json all = parse_json(read_file(path), path.string());
  if (!all.is_object()) throw InputError(path.string() + ": must be an object");
  return all;
}

// Steps of the checkpoints there, newest first.
std::vector<int64_t> steps_in(const fs::path& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (const auto step = step_of(entry.path())) steps.push_back(*step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

fs::path path_of(const fs::path& folder, int64_t step) {
  return folder / (kPrefix + std::to_string(step));
}

TensorOut flat_tensor(const char* name, std::span<const float> values) {
  TensorOut out;
  out.name = name;
  out.shape = {static_cast<int64_t>(values.size())};
  out.bytes = std::as_bytes(values);
  return out;
}

}  // namespace

void save_checkpoint(const fs::path& folder, int64_t step, Trainer& trainer,
                     std::span<const float> reference, const TokenizerFiles& tokenizer,
                     const Json& state) {
  make_folder(folder);
  const fs::path temporary = folder / ("writing-" + std::to_string(step) + ".tmp");
  std::error_code ignored;
  fs::remove_all(temporary, ignored);
  trainer.model().save(temporary);
  for (const auto& [name, text] : tokenizer) write_file_atomic(temporary / name, text);
  std::vector<TensorOut> tensors = {flat_tensor("moment1", trainer.moment1()),
                                    flat_tensor("moment2", trainer.moment2())};
  if (!reference.empty()) tensors.push_back(flat_tensor("reference", reference));
  write_safetensors(temporary / "trainer_state.safetensors", tensors, {});
  const Json all = {{"updates", trainer.updates()}, {"step", step}, {"state", state}};
  write_file_atomic(temporary / "trainer_state.json", all.dump(2) + "\n");
  write_manifest(temporary);
  replace_folder(temporary, path_of(folder, step));
}

std::optional<CheckpointInfo> newest_checkpoint(const fs::path& folder) {
  for (const int64_t step : steps_in(folder)) {
    const fs::path path = path_of(folder, step);
    if (!manifest_matches(path)) continue;
    return CheckpointInfo{path, step, read_state(path).value("state", Json::object())};
  }
  return std::nullopt;
}

std::vector<float> load_trainer_state(const CheckpointInfo& checkpoint, Trainer& trainer) {
  const auto path = checkpoint.path / "trainer_state.safetensors";
  const SafeTensors file = SafeTensors::open(path);
  auto restore = [&](const char* name, std::span<float> values) {
    const TensorInfo* t = file.find(name);
    if (!t || t->dtype != DType::kF32 || t->bytes.size() != values.size_bytes()) {
      throw InputError(path.string() + ": tensor '" + name + "' must hold " +
                       std::to_string(values.size()) + " float32 values for this model");
    }
    copy_to_f32(*t, values.data());
  };
  restore("moment1", trainer.moment1());
  restore("moment2", trainer.moment2());
  // Updates are counted in double for AdamW's bias: 2^53 is as far as that is exact. A negative
  // number reads as a larger one.
  const Json updates = read_state(checkpoint.path).value("updates", Json());
  if (!updates.is_number_integer() || updates.get<uint64_t>() > uint64_t{1} << 53) {
    throw InputError((checkpoint.path / "trainer_state.json").string() +
                     ": field 'updates' must be a whole number from 0 to 2^53, not " +
                     in_quotes(updates.dump()));
  }
  trainer.set_updates(updates.get<int64_t>());
  std::vector<float> reference;
  if (file.find("reference")) {
    reference.resize(trainer.model().masters().size());
    restore("reference", reference);
  }
  return reference;
}

void prune_checkpoints(const fs::path& folder, int64_t keep) {
  const auto steps = steps_in(folder);
  keep = std::max<int64_t>(1, keep);
  if (static_cast<int64_t>(steps.size()) <= keep) return;
  int64_t kept = 0;
  for (const int64_t step : steps) {
    const fs::path path = path_of(folder, step);
    if (kept < keep) {
      kept += manifest_matches(path) ? 1 : 0;
      continue;
    }
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
}

}  // namespace r1
