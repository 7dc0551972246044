#include "package/checkpoints.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"

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

}  // namespace

Json read_trainer_state(const fs::path& checkpoint) {
  const auto path = checkpoint / "trainer_state.json";
  Json all = parse_json(read_file(path), path.string());
  if (!all.is_object()) throw InputError(path.string() + ": must be an object");
  return all;
}

void write_checkpoint(const fs::path& folder, int64_t step,
                      const std::function<void(const fs::path& temporary)>& write) {
  make_folder(folder);
  const fs::path temporary = folder / ("writing-" + std::to_string(step) + ".tmp");
  std::error_code ignored;
  fs::remove_all(temporary, ignored);
  write(temporary);
  write_manifest(temporary);
  replace_folder(temporary, path_of(folder, step));
}

std::optional<CheckpointInfo> newest_checkpoint(const fs::path& folder) {
  for (const int64_t step : steps_in(folder)) {
    const fs::path path = path_of(folder, step);
    if (!manifest_matches(path)) continue;
    return CheckpointInfo{path, step, read_trainer_state(path).value("state", Json::object())};
  }
  return std::nullopt;
}

CheckpointInfo checkpoint_at(const fs::path& folder, int64_t step) {
  const fs::path path = path_of(folder, step);
  if (!manifest_matches(path)) {
    throw InputError(path.string() + ": no checkpoint, or a damaged one");
  }
  return {path, step, read_trainer_state(path).value("state", Json::object())};
}

void prune_checkpoints(const fs::path& folder, int64_t keep, const std::set<int64_t>& named) {
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
    if (named.contains(step)) continue;
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
}

}  // namespace r1
