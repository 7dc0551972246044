#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace r1 {
namespace {

constexpr float kDropped = -std::numeric_limits<float>::infinity();

void require(bool ok, const char* name, const char* expected, double value) {
  if (!ok) {
    throw InputError(std::string(name) + " must be " + expected + ", not " + std::to_string(value));
  }
}

}  // namespace

void SamplingParams::check() const {
  // Below, logits times the inverse would leave float32.
  require(temperature == 0.0 || (temperature >= 1e-4 && temperature <= 100.0), "temperature",
          "0 or from 0.0001 to 100", temperature);
  require(top_k >= 0, "top_k", "0 or more", static_cast<double>(top_k));
  require(top_p > 0.0 && top_p <= 1.0, "top_p", "above 0 and at most 1", top_p);
  require(min_p >= 0.0 && min_p <= 1.0, "min_p", "from 0 to 1", min_p);
}

void shape_logits(const SamplingParams& params, float* row, int64_t vocab) {
  if (params.plain()) return;
  float* const end = row + vocab;
  if (params.temperature == 0.0) {
    float* const best = std::max_element(row, end);
    const float value = *best;
    std::fill(row, end, kDropped);
    *best = value;
    return;
  }
  const float inverse = static_cast<float>(1.0 / params.temperature);
  for (float* x = row; x < end; ++x) *x *= inverse;
  if (params.top_k == 0 && params.top_p >= 1.0 && params.min_p <= 0.0) return;

  std::vector<int32_t> order(static_cast<size_t>(vocab));
  std::iota(order.begin(), order.end(), 0);
  // A diverged model's NaN comes last: sorting needs an order.
  auto value = [&](int32_t id) { return std::isnan(row[id]) ? kDropped : row[id]; };
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return value(a) != value(b) ? value(a) > value(b) : a < b;
  });
  size_t keep = order.size();
  if (params.top_k > 0) keep = std::min(keep, static_cast<size_t>(params.top_k));
  const double top = static_cast<double>(row[order[0]]);
  auto weight = [&](size_t i) { return std::exp(static_cast<double>(row[order[i]]) - top); };
  if (params.top_p < 1.0) {
    double total = 0.0, reached = 0.0;
    for (size_t i = 0; i < keep; ++i) total += weight(i);
    for (size_t i = 0; i < keep; ++i) {
      reached += weight(i);
      if (reached >= params.top_p * total) {
        keep = i + 1;
        break;
      }
    }
  }
  if (params.min_p > 0.0) {
    while (keep > 1 && weight(keep - 1) < params.min_p) --keep;
  }
  for (size_t i = keep; i < order.size(); ++i) row[order[i]] = kDropped;
}

}  // namespace r1
