// What routing rows to experts means, and its gradient. Templates as in ref_math.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "backend/ref/ref_math.h"
#include "tensor/tensor.h"

namespace r1::ref {

// s = sigmoid(logits) or softmax(logits)
template <class Real>
std::vector<double> route_scores(const Real* logits, int64_t experts, bool use_sigmoid) {
  std::vector<double> s(static_cast<size_t>(experts));
  const double max = wide(*std::max_element(logits, logits + experts));
  for (size_t e = 0; e < s.size(); ++e) {
    s[e] = use_sigmoid ? sigmoid(wide(logits[e])) : std::exp(wide(logits[e]) - max);
  }
  const double total = use_sigmoid ? 1 : std::accumulate(s.begin(), s.end(), 0.0);
  for (double& x : s) x /= total;
  return s;
}

// The indices of the `count` largest values, the larger first, of equals the lower index.
inline std::vector<int32_t> best_indices(const std::vector<double>& values, int64_t count) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  return order;
}

// The K experts of a row, ascending: those with the largest `choice` in the best groups.
inline std::vector<int32_t> choose_experts(std::vector<double> choice, const Routing& r) {
  const size_t size = choice.size() / static_cast<size_t>(r.groups);
  std::vector<double> group_score;
  for (size_t first = 0; first < choice.size(); first += size) {
    std::vector<double> group(choice.begin() + static_cast<int64_t>(first),
                              choice.begin() + static_cast<int64_t>(first + size));
    std::sort(group.rbegin(), group.rend());
    group_score.push_back(r.group_pairs && size > 1 ? group[0] + group[1] : group[0]);
  }
  const std::vector<int32_t> groups = best_indices(group_score, r.groups_per_row);
  for (size_t e = 0; e < choice.size(); ++e) {
    if (std::find(groups.begin(), groups.end(), static_cast<int32_t>(e / size)) == groups.end()) {
      choice[e] = -std::numeric_limits<double>::infinity();
    }
  }
  std::vector<int32_t> experts = best_indices(choice, r.experts);
  std::sort(experts.begin(), experts.end());
  return experts;
}

// Added to the sum of the chosen scores, which may all be zero (DeepSeek-V3).
constexpr double kTiny = 1e-20;

// weight_j = scale s_j, or scale s_j / sum_i s_i over the chosen where normalized.
template <class Real>
void route(BasicTensor<const Real> logits_TE, const Real* bias, const Routing& r, int32_t* expert,
           Real* weight) {
  for (int64_t t = 0; t < logits_TE.rows; ++t) {
    const std::vector<double> s = route_scores(logits_TE.row(t), logits_TE.cols, r.sigmoid);
    std::vector<double> choice = s;
    for (size_t e = 0; bias && e < s.size(); ++e) choice[e] += wide(bias[e]);
    const std::vector<int32_t> chosen = choose_experts(std::move(choice), r);
    double total = kTiny;
    for (const int32_t e : chosen) total += s[static_cast<size_t>(e)];
    for (const int32_t e : chosen) {
      *expert++ = e;
      *weight++ =
          static_cast<Real>(wide(r.scale) * s[static_cast<size_t>(e)] / (r.normalize ? total : 1));
    }
  }
}

// With S = sum_i s_i where normalized, else 1:   ds_j = scale (dw_j - sum_i dw_i s_i / S) / S, the
// sum where normalized. Then through the sigmoid, dlogit = ds s (1 - s), or the softmax, dlogit_e =
// s_e (ds_e - sum_j ds_j s_j). ds of an expert that was not chosen is 0.
template <class Real>
void route_backward(const Real* dweight, BasicTensor<const Real> logits_TE, const int32_t* expert,
                    const Routing& r, BasicTensor<Real> dlogits_TE) {
  for (int64_t t = 0; t < logits_TE.rows; ++t, dweight += r.experts, expert += r.experts) {
    const std::vector<double> s = route_scores(logits_TE.row(t), logits_TE.cols, r.sigmoid);
    std::vector<double> ds(s.size());
    double total = kTiny, weighted = 0, dot = 0;
    for (int64_t j = 0; j < r.experts; ++j) {
      total += s[static_cast<size_t>(expert[j])];
      weighted += wide(dweight[j]) * s[static_cast<size_t>(expert[j])];
    }
    for (int64_t j = 0; j < r.experts; ++j) {
      const auto e = static_cast<size_t>(expert[j]);
      ds[e] = wide(r.scale) *
              (r.normalize ? (wide(dweight[j]) - weighted / total) / total : wide(dweight[j]));
      dot += ds[e] * s[e];
    }
    for (size_t e = 0; e < s.size(); ++e) {
      dlogits_TE.row(t)[e] =
          static_cast<Real>(r.sigmoid ? ds[e] * s[e] * (1 - s[e]) : s[e] * (ds[e] - dot));
    }
  }
}

// out[t] = (add ? out[t] : 0) + sum_j weight[t, j] y[slot[t, j]]
template <class Real>
void combine_rows(BasicTensor<const Real> y, std::span<const int32_t> slot, const Real* weight,
                  bool add, BasicTensor<Real> out) {
  const int64_t k = out.rows == 0 ? 0 : static_cast<int64_t>(slot.size()) / out.rows;
  for (int64_t t = 0; t < out.rows; ++t) {
    for (int64_t c = 0; c < out.cols; ++c) {
      double sum = add ? wide(out.row(t)[c]) : 0;
      for (int64_t j = t * k; j < (t + 1) * k; ++j) {
        sum += wide(weight[j]) * wide(y.row(slot[static_cast<size_t>(j)])[c]);
      }
      out.row(t)[c] = static_cast<Real>(sum);
    }
  }
}

// dy[slot[t, j]] = weight[t, j] dout[t]       dweight[t, j] = dout[t] . y[slot[t, j]]
template <class Real>
void combine_rows_backward(BasicTensor<const Real> dout, BasicTensor<const Real> y,
                           std::span<const int32_t> slot, const Real* weight, BasicTensor<Real> dy,
                           Real* dweight) {
  const int64_t k = dout.rows == 0 ? 0 : static_cast<int64_t>(slot.size()) / dout.rows;
  for (int64_t j = 0; j < dout.rows * k; ++j) {
    const int64_t row = slot[static_cast<size_t>(j)];
    double dot = 0;
    for (int64_t c = 0; c < dout.cols; ++c) {
      const double d = wide(dout.row(j / k)[c]);
      dot += d * wide(y.row(row)[c]);
      dy.row(row)[c] = static_cast<Real>(wide(weight[j]) * d);
    }
    dweight[j] = static_cast<Real>(dot);
  }
}

}  // namespace r1::ref
