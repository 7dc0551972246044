#include "recipe/ledger.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/resident.h"

namespace r1 {
namespace {

constexpr int64_t kMaxCount = int64_t{1} << 53;  // what a double and so every JSON reader holds

double number_at(const Json& row, const char* key, const std::string& where) {
  const auto found = row.find(key);
  const double value = found != row.end() && found->is_number() ? found->get<double>() : -1;
  if (std::isfinite(value) && value >= 0) return value;
  const std::string came =
      found == row.end() ? "none" : found->dump(-1, ' ', true, Json::error_handler_t::replace);
  throw InputError(where + ": " + key + ": expected a number of at least 0, found " +
                   came.substr(0, 80));
}

int64_t count_at(const Json& row, const char* key, const std::string& where) {
  const double value = number_at(row, key, where);
  if (value <= static_cast<double>(kMaxCount)) return static_cast<int64_t>(value);
  throw InputError(where + ": " + key + ": expected at most 2^53, found more");
}

OrderedJson row_json(const StageCost& cost) {
  return {{"stage", cost.stage},
          {"tokens_sampled", cost.tokens_sampled},
          {"tokens_trained", cost.tokens_trained},
          {"flops", cost.flops},
          {"seconds", cost.seconds},
          {"peak_memory", cost.peak_memory}};
}

}  // namespace

StageCost& Ledger::at(std::string_view stage) {
  const auto found = std::ranges::find(stages_, stage, &StageCost::stage);
  if (found != stages_.end()) return *found;
  stages_.emplace_back().stage = stage;
  return stages_.back();
}

void Ledger::begin_stage(std::string_view stage) {
  at(stage);
  reset_peak_resident_bytes();
}

void Ledger::add(std::string_view stage, int64_t tokens_sampled, int64_t tokens_trained,
                 double flops, double seconds) {
  StageCost& cost = at(stage);
  cost.tokens_sampled += tokens_sampled;
  cost.tokens_trained += tokens_trained;
  cost.flops += flops;
  cost.seconds += seconds;
  cost.peak_memory = std::max(cost.peak_memory, peak_resident_bytes());
}

StageCost Ledger::total() const {
  StageCost total;
  total.stage = "total";
  for (const StageCost& cost : stages_) {
    total.tokens_sampled += cost.tokens_sampled;
    total.tokens_trained += cost.tokens_trained;
    total.flops += cost.flops;
    total.seconds += cost.seconds;
    total.peak_memory = std::max(total.peak_memory, cost.peak_memory);
  }
  return total;
}

OrderedJson Ledger::to_json() const {
  OrderedJson stages = OrderedJson::array();
  for (const StageCost& cost : stages_) stages.push_back(row_json(cost));
  return {{"stages", stages}, {"total", row_json(total())}};
}

Ledger Ledger::from_json(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("stages") || !json["stages"].is_array()) {
    throw InputError(where + ": expected an object with a list \"stages\"");
  }
  constexpr size_t kMaxStages = 1000;
  if (json["stages"].size() > kMaxStages)
    throw InputError(where + ": expected at most 1000 stages");
  Ledger ledger;
  for (const Json& row : json["stages"]) {
    const std::string here = where + ": stage " + std::to_string(ledger.stages_.size());
    if (!row.is_object() || !row.contains("stage") || !row["stage"].is_string()) {
      throw InputError(here + ": expected an object with a name \"stage\"");
    }
    StageCost cost;
    cost.stage = row["stage"].get<std::string>();
    cost.tokens_sampled = count_at(row, "tokens_sampled", here);
    cost.tokens_trained = count_at(row, "tokens_trained", here);
    cost.flops = number_at(row, "flops", here);
    cost.seconds = number_at(row, "seconds", here);
    cost.peak_memory = count_at(row, "peak_memory", here);
    ledger.stages_.push_back(std::move(cost));
  }
  return ledger;
}

}  // namespace r1
