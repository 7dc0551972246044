// Rows of metrics.jsonl as structs. One visitor gives a row's JSON, from which TensorBoard's
// scalars are made (run_folder.h), and reads it back:
//
//   struct XMetrics {
//     std::string stage;
//     int64_t step = 0;
//     double loss = 0;
//     template <class V>
//     void visit(V& v) {
//       v("stage", stage);
//       v("step", step);
//       v("loss", loss);
//     }
//   };
//
// The fields of a kind of stage stand in its stage_x.cc; docs/formats/run-folder.md lists them all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "rl/evaluation.h"

namespace r1 {

// Measurements whose names the run decides: rewards, skills. Keys have `prefix` before the name.
using NamedValues = std::vector<std::pair<std::string, double>>;

class MetricsWriter {
 public:
  template <class T>
  void operator()(const char* key, const T& value) {
    row_[key] = value;
  }
  template <class T>
  void operator()(const char* key, const std::optional<T>& value) {
    if (value) row_[key] = *value;
  }
  void operator()(const char* prefix, const NamedValues& values) {
    for (const auto& [name, value] : values) row_[prefix + name] = value;
  }
  OrderedJson take() { return std::move(row_); }

 private:
  OrderedJson row_ = OrderedJson::object();
};

// A field that the row lacks, or has with another type, keeps its value.
class MetricsReader {
 public:
  explicit MetricsReader(const Json& row) : row_(row) {}

  void operator()(const char* key, double& value) {
    if (const Json* found = find(key); found && found->is_number()) found->get_to(value);
  }
  void operator()(const char* key, int64_t& value) {
    if (const Json* found = find(key); found && found->is_number_integer()) found->get_to(value);
  }
  void operator()(const char* key, std::string& value) {
    if (const Json* found = find(key); found && found->is_string()) found->get_to(value);
  }
  template <class T>
  void operator()(const char* key, std::optional<T>& value) {
    T read{};
    if (!find(key)) return;
    (*this)(key, read);
    value = read;
  }
  void operator()(const char* prefix, NamedValues& values) {
    const std::string head = prefix;
    for (const auto& [key, value] : row_.items()) {
      if (!key.starts_with(head) || !value.is_number()) continue;
      values.emplace_back(key.substr(head.size()), value.get<double>());
    }
  }

 private:
  const Json* find(const char* key) const {
    const auto found = row_.find(key);
    return found == row_.end() ? nullptr : &*found;
  }

  const Json& row_;
};

template <class Row>
OrderedJson metrics_row(Row row) {
  MetricsWriter writer;
  row.visit(writer);
  return writer.take();
}

template <class Row>
Row read_metrics(const Json& json) {
  Row row;
  MetricsReader reader(json);
  row.visit(reader);
  return row;
}

// An evaluation within a stage or of an eval stage. It is the row that has a `label`.
struct EvaluationMetrics {
  std::string stage, label;
  int64_t step = 0;
  double accuracy = 0, accuracy_low = 0, accuracy_high = 0;
  int64_t problems = 0, samples = 0;
  double pass_at_k = 0, majority_at_k = 0, completion_length = 0;
  int64_t unparseable = 0, truncated = 0;
  double seconds = 0;
  NamedValues skills;
  std::optional<int64_t> gate_open;  // of a stage with gates

  template <class V>
  void visit(V& v) {
    v("stage", stage);
    v("label", label);
    v("step", step);
    v("accuracy", accuracy);
    v("accuracy_low", accuracy_low);
    v("accuracy_high", accuracy_high);
    v("n", problems);
    v("samples", samples);
    v("pass_at_k", pass_at_k);
    v("majority_at_k", majority_at_k);
    v("completion_length", completion_length);
    v("unparseable", unparseable);
    v("truncated", truncated);
    v("seconds", seconds);
    v("skill_", skills);
    v("gate_open", gate_open);
  }
};

EvaluationMetrics evaluation_metrics(const std::string& stage, const std::string& label,
                                     int64_t step, const Evaluation& evaluation, double seconds);

// A key of the recipe that a resumed run changed. Values are text: nothing to plot.
struct ChangeMetrics {
  std::string stage;
  int64_t step = 0;  // of the stage, that were done
  std::string change, before, after;

  template <class V>
  void visit(V& v) {
    v("stage", stage);
    v("step", step);
    v("change", change);
    v("before", before);
    v("after", after);
  }
};

}  // namespace r1
