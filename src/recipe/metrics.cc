#include "recipe/metrics.h"

namespace r1 {

EvaluationMetrics evaluation_metrics(const std::string& stage, const std::string& label,
                                     int64_t step, const Evaluation& e, double seconds) {
  EvaluationMetrics row;
  row.stage = stage;
  row.label = label;
  row.step = step;
  row.accuracy = e.accuracy.value;
  row.accuracy_low = e.accuracy.low;
  row.accuracy_high = e.accuracy.high;
  row.problems = e.problems;
  row.samples = e.samples;
  row.pass_at_k = e.at_k.back().pass.value;
  row.majority_at_k = e.at_k.back().majority.value;
  row.completion_length = e.completion_length;
  row.unparseable = e.unparseable;
  row.truncated = e.truncated;
  row.seconds = seconds;
  return row;
}

}  // namespace r1
