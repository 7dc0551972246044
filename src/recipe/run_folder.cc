#include "recipe/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "io/tensorboard.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

double wall_time() {
  using Seconds = std::chrono::duration<double>;
  return Seconds(std::chrono::system_clock::now().time_since_epoch()).count();
}

// To a few decimals: fewer bytes. Dividing gives the double nearest to the decimal number.
double rounded(double value, double scale) {
  return std::round(value * scale) / scale;
}

// How many bytes at the end begin a UTF-8 character without ending it.
size_t unfinished_bytes(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;  // a character's later byte
    const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

// The same text in as many pieces, none of which ends within a character: such bytes go to the
// piece that finishes it.
std::vector<std::string> whole_characters(const std::vector<std::string>& pieces) {
  std::vector<std::string> out;
  out.reserve(pieces.size());
  std::string carried;
  for (const std::string& piece : pieces) {
    std::string text = carried + piece;
    const size_t unfinished = out.size() + 1 == pieces.size() ? 0 : unfinished_bytes(text);
    carried = text.substr(text.size() - unfinished);
    text.resize(text.size() - unfinished);
    out.push_back(std::move(text));
  }
  return out;
}

OrderedJson row_json(const CompletionRow& row) {
  OrderedJson rewards = OrderedJson::object();
  for (const auto& [name, value] : row.rewards) rewards[name] = value;
  OrderedJson logprobs = OrderedJson::array();
  for (const float value : row.logprobs) logprobs.push_back(rounded(value, 1e4));
  return {{"step", row.step},
          {"correct", row.correct},
          {"reward", row.reward},
          {"rewards", rewards},
          {"advantage", row.advantage},
          {"reason", row.reason},
          {"prompt", row.prompt},
          {"completion", row.completion},
          {"tokens", whole_characters(row.tokens)},
          {"logprobs", logprobs}};
}

bool holds_only_a_run(const fs::path& path) {
  std::error_code error;
  if (fs::exists(path / "recipe.toml", error) || fs::exists(path / "metrics.jsonl", error)) {
    return true;
  }
  return fs::is_empty(path, error);
}

}  // namespace

void check_stage_name(std::string_view stage) {
  const bool good = !stage.empty() && stage.size() <= 64 && std::ranges::all_of(stage, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
  if (good) return;
  throw InputError("stage name " + in_quotes(stage) +
                   ": expected 1 to 64 letters, digits, - and _");
}

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  make_folder(path_);
  if (!holds_only_a_run(path_)) {
    throw InputError(path_.string() +
                     ": expected a new or empty folder, or a run's; it holds other files");
  }
  lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // File systems without locks give another error: there the user has to take care.
  if (lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock_);
    throw JobError(path_.string() + ": another process is writing to this run");
  }
  try {
    metrics_ = std::make_unique<RowFile>(path_ / "metrics.jsonl");
    make_folder(path_ / "completions");
    make_folder(checkpoints_path());
  } catch (...) {
    if (lock_ >= 0) ::close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::write_recipe(std::string_view toml) {
  write_file_atomic(recipe_path(), toml);
}

void RunFolder::write_ledger(const Ledger& ledger) {
  write_file_atomic(ledger_path(), ledger.to_json().dump(2) + "\n");
}

void RunFolder::add_metrics(OrderedJson row) {
  R1_CHECK(row.is_object() && row.contains("stage") && row["stage"].is_string());
  R1_CHECK(row.contains("step") && row["step"].is_number_integer());
  row["time"] = rounded(wall_time(), 1e3);
  if (events_ == nullptr) restart_events();
  metrics_->append(row);
  add_events(Json(row));
  events_->flush();
}

void RunFolder::add_completions(std::string_view stage, std::span<const CompletionRow> rows) {
  RowFile& file = completions(stage);
  for (const CompletionRow& row : rows) {
    R1_CHECK(row.tokens.size() == row.logprobs.size());
    file.append(row_json(row));
  }
}

void RunFolder::write_dataset(std::string_view stage, std::span<const OrderedJson> rows) {
  check_stage_name(stage);
  make_folder(path_ / "data");
  AtomicFile file(dataset_path(stage));
  for (const OrderedJson& row : rows) {
    file.write(row.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
  }
  file.commit();
}

RowFile& RunFolder::completions(std::string_view stage) {
  const auto found = completions_.find(stage);
  if (found != completions_.end()) return found->second;
  check_stage_name(stage);
  const std::string name(stage);
  return completions_.emplace(name, RowFile(path_ / "completions" / (name + ".jsonl")))
      .first->second;
}

void RunFolder::drop_after(std::string_view stage, int64_t step) {
  check_stage_name(stage);
  const auto is_later = [&](const Json& row) {
    const auto found = row.find("step");
    return found == row.end() || !found->is_number() || found->get<double>() > double(step);
  };
  // Completions first: were the process killed in between, the next resume drops the rest.
  const fs::path file = path_ / "completions" / (std::string(stage) + ".jsonl");
  std::error_code error;
  if (step < 0) fs::remove(dataset_path(stage), error);
  if (fs::exists(file, error)) {
    completions(stage).filter([&](const Json& row) { return !is_later(row); });
  }
  const int64_t dropped = metrics_->filter([&](const Json& row) {
    const auto found = row.find("stage");
    return found == row.end() || *found != stage || !is_later(row) || row.contains("change");
  });
  if (dropped > 0) events_.reset();
}

void RunFolder::sync() {
  metrics_->sync();
  for (auto& [stage, file] : completions_) file.sync();
}

// One event file that holds exactly the rows of metrics.jsonl, whatever an earlier process left.
void RunFolder::restart_events() {
  std::vector<fs::path> old;
  std::error_code error;
  for (fs::directory_iterator it(path_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("events.out.tfevents.")) old.push_back(it->path());
  }
  if (error) throw JobError(path_.string() + ": cannot be listed: " + error.message());
  for (const fs::path& file : old) {
    fs::remove(file, error);
    if (error) throw JobError(file.string() + ": cannot be removed: " + error.message());
  }
  events_ = std::make_unique<EventWriter>(path_, wall_time());
  for_each_row(metrics_->path(), [&](const Json& row, int64_t) { add_events(row); });
}

void RunFolder::add_events(const Json& row) {
  const auto text = [&](const char* key) {
    const auto found = row.find(key);
    return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto step = row.find("step"), time = row.find("time");
  if (step == row.end() || !step->is_number_integer()) return;
  const double when = time != row.end() && time->is_number() ? time->get<double>() : 0;
  std::string head = text("stage") + "/";
  if (!text("label").empty()) head += text("label") + "/";
  for (const auto& [key, value] : row.items()) {
    if (!value.is_number() || key == "step" || key == "time") continue;
    events_->scalar(head + key, step->get<int64_t>(), value.get<float>(), when);
  }
}

}  // namespace r1
