#include "recipe/report_data.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/toml.h"
#include "recipe/ledger.h"
#include "recipe/row_file.h"

namespace r1 {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxStages = 16, kMaxColumns = 40, kMaxEvals = 400;
constexpr size_t kMaxName = 64;
constexpr size_t kMaxRecipe = 64 << 10, kMaxPrompt = 3 << 10, kMaxReason = 512;

std::string dump(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

// In JSON these three stand only inside strings.
std::string for_script(const std::string& json) {
  std::string out;
  out.reserve(json.size() + json.size() / 16);
  for (const char c : json) {
    switch (c) {
      case '<':
        out += "\\u003c";
        break;
      case '>':
        out += "\\u003e";
        break;
      case '&':
        out += "\\u0026";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// Bytes that a character takes in the page: a string in JSON in a string in JSON in a script.
size_t escaped_bytes(char c) {
  if (c == '<' || c == '>' || c == '&') return 6;
  if (c == '"' || c == '\\') return 4;
  return static_cast<unsigned char>(c) < 0x20 ? 7 : 1;
}

size_t escaped_bytes(const std::string& text) {
  size_t bytes = 0;
  for (const char c : text) bytes += escaped_bytes(c);
  return bytes;
}

// The string at `key`, cut to `limit` bytes as they will be in the page; "" if there is none.
std::string text_at(const Json& row, const char* key, size_t limit) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_string()) return "";
  const auto& text = found->get_ref<const std::string&>();
  size_t end = 0;
  for (size_t used = 0; end < text.size(); ++end) {
    used += escaped_bytes(text[end]);
    if (used > limit) return text.substr(0, end) + "...";
  }
  return text;
}

std::optional<double> number_at(const Json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

OrderedJson or_null(std::optional<double> value) {
  return value && std::isfinite(*value) ? OrderedJson(*value) : OrderedJson(nullptr);
}

struct Curves {
  explicit Curves(size_t points) : rows(points) {}
  EvenSample<Json> rows;
  Json last;
  double mismatches = 0;
  bool has_mismatches = false;
};

struct Metrics {
  std::vector<std::pair<std::string, Curves>> stages;
  EvenSample<Json> evals{kMaxEvals};
  Json last_eval;
};

Metrics read_metrics(const fs::path& path, const ReportLimits& limits) {
  Metrics metrics;
  for_each_row(path, [&](const Json& row, int64_t line) {
    const std::string stage = text_at(row, "stage", kMaxName);
    if (stage.empty() || !number_at(row, "step")) {
      throw InputError(path.string() + ":" + std::to_string(line) +
                       ": expected a row with \"stage\" and \"step\"");
    }
    if (row.contains("label")) {
      metrics.evals.add(row);
      metrics.last_eval = row;
      return;
    }
    if (row.contains("change")) return;  // a key that a resumed run changed: nothing to draw
    auto at = std::ranges::find(metrics.stages, stage, &std::pair<std::string, Curves>::first);
    if (at == metrics.stages.end()) {
      if (metrics.stages.size() == kMaxStages) return;
      at = metrics.stages.emplace(metrics.stages.end(), stage, Curves(limits.points));
    }
    Curves& curves = at->second;
    curves.rows.add(row);
    curves.last = row;
    if (const auto mismatches = number_at(row, "logprob_mismatch")) {
      curves.mismatches += *mismatches;
      curves.has_mismatches = true;
    }
  });
  return metrics;
}

// The sample and the very last row, which it may have left out.
std::vector<Json> with_last(const EvenSample<Json>& sample, const Json& last) {
  std::vector<Json> rows = sample.items();
  if (!rows.empty() && rows.back() != last) rows.push_back(last);
  return rows;
}

OrderedJson curves_json(const std::string& stage, const Curves& curves) {
  const std::vector<Json> rows = with_last(curves.rows, curves.last);
  std::set<std::string> names;
  for (const Json& row : rows) {
    for (const auto& [key, value] : row.items()) {
      const bool wanted = value.is_number() && key.size() <= kMaxName && names.size() < kMaxColumns;
      if (wanted && key != "time") names.insert(key);
    }
  }
  names.insert("step");
  OrderedJson columns = OrderedJson::object();
  for (const std::string& name : names) {
    OrderedJson column = OrderedJson::array();
    for (const Json& row : rows) column.push_back(or_null(number_at(row, name.c_str())));
    columns[name] = std::move(column);
  }
  return {{"stage", stage},
          {"rows", curves.rows.seen()},
          {"columns", columns},
          {"mismatches",
           or_null(curves.has_mismatches ? std::optional(curves.mismatches) : std::nullopt)}};
}

OrderedJson evals_json(const Metrics& metrics) {
  OrderedJson out = OrderedJson::array();
  for (const Json& row : with_last(metrics.evals, metrics.last_eval)) {
    out.push_back({{"stage", text_at(row, "stage", kMaxName)},
                   {"label", text_at(row, "label", kMaxName)},
                   {"step", or_null(number_at(row, "step"))},
                   {"accuracy", or_null(number_at(row, "accuracy"))},
                   {"low", or_null(number_at(row, "accuracy_low"))},
                   {"high", or_null(number_at(row, "accuracy_high"))},
                   {"n", or_null(number_at(row, "n"))}});
  }
  return out;
}

// One completion as the page wants it: of a long one the beginning and the end.
OrderedJson shown_completion(const Json& row, size_t prompt, size_t max_bytes) {
  std::vector<std::string> tokens;
  const auto pieces = row.find("tokens");
  if (pieces != row.end() && pieces->is_array()) {
    for (const Json& piece : *pieces) {
      tokens.push_back(piece.is_string() ? piece.get<std::string>() : "");
    }
  } else {
    tokens.push_back(text_at(row, "completion", max_bytes));
  }
  const auto logprobs = row.find("logprobs");
  const auto logprob = [&](size_t i) -> OrderedJson {
    const bool there = logprobs != row.end() && logprobs->is_array() && i < logprobs->size() &&
                       (*logprobs)[i].is_number();
    if (!there) return nullptr;
    return std::round((*logprobs)[i].get<double>() * 1e3) / 1e3;
  };
  // Its text between quotes, and its log-probability.
  const auto cost = [&](size_t i) { return escaped_bytes(tokens[i]) + 5 + 7; };
  size_t head = 0, tail = tokens.size(), used = 0;
  while (head < tail && used + cost(head) <= max_bytes * 3 / 4) used += cost(head++);
  while (tail > head && used + cost(tail - 1) <= max_bytes) used += cost(--tail);

  OrderedJson shown = OrderedJson::array(), shown_logprobs = OrderedJson::array();
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i >= head && i < tail) continue;
    shown.push_back(tokens[i]);
    shown_logprobs.push_back(logprob(i));
  }
  OrderedJson rewards = OrderedJson::object();
  if (const auto named = row.find("rewards"); named != row.end() && named->is_object()) {
    for (const auto& [name, value] : named->items()) {
      if (!value.is_number() || name.size() > kMaxName || rewards.size() == kMaxStages) continue;
      rewards[name] = value.get<double>();
    }
  }
  return {{"prompt", prompt},
          {"tokens", std::move(shown)},
          {"logprobs", std::move(shown_logprobs)},
          {"length", tokens.size()},
          {"cut_at", head},
          {"left_out", tail - head},
          {"reward", or_null(number_at(row, "reward"))},
          {"rewards", std::move(rewards)},
          {"advantage", or_null(number_at(row, "advantage"))},
          {"correct", row.value("correct", Json()) == true},
          {"reason", text_at(row, "reason", kMaxReason)}};
}

// Gathers a stage's completions, which come step by step.
class Browser {
 public:
  Browser(size_t max_steps, const ReportLimits& limits)
      : limits_(limits), steps_(std::max<size_t>(max_steps, 2)) {}

  void add(const Json& row) {
    const double step = number_at(row, "step").value_or(0);
    if (!current_ || current_->step != step) {
      finish_step();
      current_.emplace(step, limits_.completions);
    }
    const bool correct = row.value("correct", Json()) == true;
    ++current_->count;
    current_->correct += correct;
    (correct ? current_->right : current_->wrong).add(row);
  }

  OrderedJson json(const std::string& stage) {
    finish_step();
    std::vector<std::string> texts = steps_.items();
    if (!texts.empty() && texts.back() != last_) texts.push_back(last_);
    // Steps are kept as text: a tenth of the memory.
    return {{"stage", stage}, {"steps", steps_.seen()}, {"shown", texts}};
  }

 private:
  struct Step {
    Step(double number, size_t completions)
        : step(number), right(2 * completions), wrong(2 * completions) {}
    double step;
    size_t count = 0, correct = 0;
    EvenSample<Json> right, wrong;
  };

  // Half of them correct, where there are enough of both.
  std::vector<Json> choose() const {
    const std::vector<Json>&right = current_->right.items(), &wrong = current_->wrong.items();
    const size_t half = limits_.completions / 2;
    size_t take_right = std::min(right.size(), half);
    const size_t take_wrong = std::min(wrong.size(), limits_.completions - take_right);
    take_right = std::min(right.size(), limits_.completions - take_wrong);
    std::vector<Json> out;
    for (size_t i = 0; i < take_right; ++i) out.push_back(right[i * right.size() / take_right]);
    for (size_t i = 0; i < take_wrong; ++i) out.push_back(wrong[i * wrong.size() / take_wrong]);
    return out;
  }

  void finish_step() {
    if (!current_) return;
    OrderedJson prompts = OrderedJson::array(), shown = OrderedJson::array();
    std::map<std::string, size_t> index;
    for (const Json& row : choose()) {
      const std::string prompt = text_at(row, "prompt", kMaxPrompt);
      const auto [at, is_new] = index.emplace(prompt, prompts.size());
      if (is_new) prompts.push_back(prompt);
      shown.push_back(shown_completion(row, at->second, limits_.completion_bytes));
    }
    last_ = dump({{"step", current_->step},
                  {"count", current_->count},
                  {"correct", current_->correct},
                  {"prompts", std::move(prompts)},
                  {"completions", std::move(shown)}});
    steps_.add(last_);
    current_.reset();
  }

  ReportLimits limits_;
  std::optional<Step> current_;
  EvenSample<std::string> steps_;
  std::string last_;
};

OrderedJson completions_json(const fs::path& folder, const std::vector<std::string>& order,
                             const ReportLimits& limits) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".jsonl") files.push_back(it->path());
  }
  const auto rank = [&](const fs::path& file) {
    return std::ranges::find(order, file.stem().string()) - order.begin();
  };
  std::ranges::sort(files, [&](const fs::path& a, const fs::path& b) {
    return std::pair(rank(a), a) < std::pair(rank(b), b);
  });
  if (files.size() > kMaxStages) files.resize(kMaxStages);
  OrderedJson out = OrderedJson::array();
  for (const fs::path& file : files) {
    Browser browser(limits.steps / files.size(), limits);
    for_each_row(file, [&](const Json& row, int64_t) { browser.add(row); });
    OrderedJson stage = browser.json(text_at(Json{{"s", file.stem().string()}}, "s", kMaxName));
    if (stage["steps"] != 0) out.push_back(std::move(stage));
  }
  return out;
}

}  // namespace

std::string report_data(const fs::path& run, const ReportLimits& limits) {
  const TomlDocument recipe = read_toml_file(run / "recipe.toml");
  const Metrics metrics = read_metrics(run / "metrics.jsonl", limits);
  OrderedJson stages = OrderedJson::array();
  std::vector<std::string> order;
  for (const auto& [stage, curves] : metrics.stages) {
    stages.push_back(curves_json(stage, curves));
    order.push_back(stage);
  }
  OrderedJson ledger;
  std::error_code error;
  if (const fs::path path = run / "ledger.json"; fs::exists(path, error)) {
    const Json json = parse_json(read_file(path, 1 << 20), path.string());
    ledger = Ledger::from_json(json, path.string()).to_json();
  }
  const auto seed = recipe.values.find("seed");
  return for_script(dump({
      {"name", text_at(recipe.values, "name", kMaxName)},
      {"version", text_at(recipe.values, "version", kMaxName)},
      {"seed", seed != recipe.values.end() && seed->is_number() ? seed->dump() : ""},
      {"recipe", read_file(run / "recipe.toml").substr(0, kMaxRecipe)},
      {"stages", std::move(stages)},
      {"evals", evals_json(metrics)},
      {"ledger", std::move(ledger)},
      {"completions", completions_json(run / "completions", order, limits)},
      {"limits", {{"completions", limits.completions}, {"points", limits.points}}},
  }));
}

}  // namespace r1
