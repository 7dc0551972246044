// What each op means, as the formula of ops.h and nothing else: products, rows, the loss.
//
// Templates over the stored type: RefOps instantiates float, the gradient tests double. Sums run in
// double in both and are rounded once, when stored. Attention is in ref_attention.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "backend/ops.h"
#include "tensor/tensor.h"

namespace r1::ref {

// Arithmetic runs in double.
constexpr double wide(double x) {
  return x;
}

// --- products ---

// out[t, n] = (add ? out[t, n] : 0) + bias[n] + sum_k x[t, k] w(n, k)
// w is called with (n, k); bias may be null.
template <class Real, class Weight>
void matmul(BasicTensor<const Real> x_TK, const Weight& w, const Real* bias, bool add,
            BasicTensor<Real> out_TN) {
  for (int64_t t = 0; t < out_TN.rows; ++t) {
    for (int64_t n = 0; n < out_TN.cols; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < x_TK.cols; ++k) {
        sum += wide(x_TK.row(t)[k]) * wide(w(n, k));
      }
      if (bias) sum += wide(bias[n]);
      if (add) sum += wide(out_TN.row(t)[n]);
      out_TN.row(t)[n] = static_cast<Real>(sum);
    }
  }
}

// dw[n, k] += sum_t dout[t, n] x[t, k]
template <class Real>
void matmul_backward_weight(BasicTensor<const Real> dout_TN, BasicTensor<const Real> x_TK,
                            BasicTensor<Real> dw_NK) {
  for (int64_t n = 0; n < dw_NK.rows; ++n) {
    for (int64_t k = 0; k < dw_NK.cols; ++k) {
      double sum = wide(dw_NK.row(n)[k]);
      for (int64_t t = 0; t < x_TK.rows; ++t) {
        sum += wide(dout_TN.row(t)[n]) * wide(x_TK.row(t)[k]);
      }
      dw_NK.row(n)[k] = static_cast<Real>(sum);
    }
  }
}

// dbias[n] += sum_t dout[t, n]
template <class Real>
void matmul_backward_bias(BasicTensor<const Real> dout_TN, Real* dbias) {
  for (int64_t n = 0; n < dout_TN.cols; ++n) {
    double sum = wide(dbias[n]);
    for (int64_t t = 0; t < dout_TN.rows; ++t) sum += wide(dout_TN.row(t)[n]);
    dbias[n] = static_cast<Real>(sum);
  }
}

// --- rows ---

// out[i] = x[rows[i]]
template <class Real>
void gather_rows(BasicTensor<const Real> x, std::span<const int32_t> rows, BasicTensor<Real> out) {
  for (int64_t i = 0; i < out.rows; ++i) {
    std::copy_n(x.row(rows[static_cast<size_t>(i)]), x.cols, out.row(i));
  }
}

// dx[rows[i]] += dout[i], i in order
template <class Real>
void gather_rows_backward(BasicTensor<const Real> dout, std::span<const int32_t> rows,
                          BasicTensor<Real> dx) {
  for (int64_t i = 0; i < dout.rows; ++i) {
    Real* to = dx.row(rows[static_cast<size_t>(i)]);
    for (int64_t c = 0; c < dx.cols; ++c) to[c] += dout.row(i)[c];
  }
}

// x += y
template <class Real>
void add(BasicTensor<Real> x, BasicTensor<const Real> y) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) x.row(t)[c] += y.row(t)[c];
  }
}

// x *= factor
template <class Real>
void scale(BasicTensor<Real> x, Real factor) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t c = 0; c < x.cols; ++c) x.row(t)[c] *= factor;
  }
}

// Each row in `groups` segments of the width of w:
//   out = x * rstd * w,  rstd = 1 / sqrt(mean(x^2) + eps)
template <class Real>
void rms_norm(BasicTensor<const Real> x, std::span<const Real> w, int64_t groups, double eps,
              BasicTensor<Real> out, Real* rstd) {
  const auto width = static_cast<int64_t>(w.size());
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t g = 0; g < groups; ++g) {
      const Real* segment = x.row(t) + g * width;
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) {
        squares += wide(segment[i]) * wide(segment[i]);
      }
      const double r = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
      for (int64_t i = 0; i < width; ++i) {
        out.row(t)[g * width + i] =
            static_cast<Real>(wide(segment[i]) * r * wide(w[static_cast<size_t>(i)]));
      }
      rstd[t * groups + g] = static_cast<Real>(r);
    }
  }
}

// With y = x r w and r = (mean(x^2) + eps)^(-1/2):  dr/dx_i = -r^3 x_i / width, so
//   dx_i (+)= r (dout_i w_i - x_i r^2 mean_j(dout_j w_j x_j))        dw_i += sum_rows dout_i x_i r
// dw is done first: dx may be dout.
template <class Real>
void rms_norm_backward(BasicTensor<const Real> dout, BasicTensor<const Real> x,
                       std::span<const Real> w, int64_t groups, const Real* rstd, bool add_to_dx,
                       BasicTensor<Real> dx, Real* dw) {
  const auto width = static_cast<int64_t>(w.size());
  for (int64_t i = 0; i < width; ++i) {
    double sum = wide(dw[i]);
    for (int64_t t = 0; t < x.rows; ++t) {
      for (int64_t g = 0; g < groups; ++g) {
        sum += wide(dout.row(t)[g * width + i]) * wide(x.row(t)[g * width + i]) *
               wide(rstd[t * groups + g]);
      }
    }
    dw[i] = static_cast<Real>(sum);
  }
  const auto weight = [&](int64_t i) { return wide(w[static_cast<size_t>(i)]); };
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t g = 0; g < groups; ++g) {
      const auto x_at = [&](int64_t i) { return wide(x.row(t)[g * width + i]); };
      const auto dy_at = [&](int64_t i) { return wide(dout.row(t)[g * width + i]); };
      const auto r = wide(rstd[t * groups + g]);
      double mean = 0;
      for (int64_t i = 0; i < width; ++i) mean += dy_at(i) * weight(i) * x_at(i);
      mean /= static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) {
        Real& to = dx.row(t)[g * width + i];
        const double d = r * (dy_at(i) * weight(i) - x_at(i) * r * r * mean);
        to = static_cast<Real>(add_to_dx ? wide(to) + d : d);
      }
    }
  }
}

// Each pair (a, b) of a head's last D elements turns by its row's angle:
//   a' = a cos - sign b sin      b' = b cos + sign a sin
// Pair i is (x[i], x[i + D/2]), or (x[2i], x[2i + 1]) where interleaved. sign is +1, or -1 for the
// gradient: a rotation's transpose is the opposite rotation.
template <class Real>
void rope(BasicTensor<Real> x, int64_t head_dim, bool interleaved,
          std::span<const int32_t> positions, BasicTensor<const Real> cos_sin, double sign) {
  const int64_t dim = cos_sin.cols, half = dim / 2;
  const int64_t first = interleaved ? 2 : 1, second = interleaved ? 1 : half;
  for (int64_t t = 0; t < x.rows; ++t) {
    const Real* angle = cos_sin.row(positions[static_cast<size_t>(t)]);
    for (int64_t head = 0; head < x.cols; head += head_dim) {
      Real* tail = x.row(t) + head + head_dim - dim;
      for (int64_t i = 0; i < half; ++i) {
        Real* pair = tail + i * first;
        const auto a = wide(pair[0]), b = wide(pair[second]);
        const auto cos = wide(angle[i]);
        const double sin = sign * wide(angle[half + i]);
        pair[0] = static_cast<Real>(a * cos - b * sin);
        pair[second] = static_cast<Real>(b * cos + a * sin);
      }
    }
  }
}

// out[t, h * out_step + i] (+)= x[t, h * x_step + i]
template <class Real>
void copy_heads(BasicTensor<const Real> x, int64_t x_step, BasicTensor<Real> out, int64_t out_step,
                int64_t heads, int64_t width, bool add) {
  for (int64_t t = 0; t < out.rows; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < width; ++i) {
        Real& to = out.row(t)[h * out_step + i];
        const Real from = x.row(t)[h * x_step + i];
        to = add ? to + from : from;
      }
    }
  }
}

inline double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// out[f] = silu(gate[f]) up[f],  silu(x) = x sigmoid(x);  a row is F gates, then F ups
template <class Real>
void swiglu(BasicTensor<const Real> gate_up_T2F, BasicTensor<Real> out_TF) {
  for (int64_t t = 0; t < out_TF.rows; ++t) {
    for (int64_t f = 0; f < out_TF.cols; ++f) {
      const auto gate = wide(gate_up_T2F.row(t)[f]);
      const auto up = wide(gate_up_T2F.row(t)[out_TF.cols + f]);
      out_TF.row(t)[f] = static_cast<Real>(gate * sigmoid(gate) * up);
    }
  }
}

// With s = sigmoid(gate):  dup = dout gate s      dgate = dout up (s + gate s (1 - s))
template <class Real>
void swiglu_backward(BasicTensor<const Real> dout_TF, BasicTensor<const Real> gate_up_T2F,
                     BasicTensor<Real> dgate_up_T2F) {
  const int64_t width = dout_TF.cols;
  for (int64_t t = 0; t < dout_TF.rows; ++t) {
    for (int64_t f = 0; f < width; ++f) {
      const auto d = wide(dout_TF.row(t)[f]);
      const auto gate = wide(gate_up_T2F.row(t)[f]);
      const auto up = wide(gate_up_T2F.row(t)[width + f]);
      const double s = sigmoid(gate);
      dgate_up_T2F.row(t)[f] = static_cast<Real>(d * up * (s + gate * s * (1 - s)));
      dgate_up_T2F.row(t)[width + f] = static_cast<Real>(d * gate * s);
    }
  }
}

// --- the loss ---

// p_v = exp(x_v - max) / sum_u exp(x_u - max):
//   log_sum = log(sum exp(x - max))       logprob = (x_target - max) - log_sum
//   entropy = -sum_v p_v log(p_v) = log_sum - sum_v p_v (x_v - max);     0 log 0 = 0
template <class Real>
void log_softmax(BasicTensor<const Real> logits_RV, std::span<const int32_t> targets, Real* logprob,
                 Real* max, Real* log_sum, Real* entropy) {
  for (int64_t r = 0; r < logits_RV.rows; ++r) {
    const Real* x = logits_RV.row(r);
    const Real top = *std::max_element(x, x + logits_RV.cols);
    const auto m = wide(top);
    double total = 0, weighted = 0;
    for (int64_t v = 0; v < logits_RV.cols; ++v) {
      const double shifted = wide(x[v]) - m, e = std::exp(shifted);
      total += e;
      if (e > 0) weighted += e * shifted;
    }
    const double log_total = std::log(total);
    max[r] = top;
    log_sum[r] = static_cast<Real>(log_total);
    logprob[r] = static_cast<Real>((wide(x[targets[static_cast<size_t>(r)]]) - m) - log_total);
    if (entropy) entropy[r] = static_cast<Real>(log_total - weighted / total);
  }
}

// d logprob / d x_v = (v == target) - p_v.  In place:
//   logits[r, v] = scale dlogprob[r] ((v == target) - exp(logits[r, v] - max[r] - log_sum[r]))
template <class Real>
void log_softmax_backward(BasicTensor<Real> logits_RV, std::span<const int32_t> targets,
                          const Real* dlogprob, const Real* max, const Real* log_sum,
                          double scale) {
  for (int64_t r = 0; r < logits_RV.rows; ++r) {
    Real* x = logits_RV.row(r);
    for (int64_t v = 0; v < logits_RV.cols; ++v) {
      const double p = std::exp(wide(x[v]) - wide(max[r]) - wide(log_sum[r]));
      const double is_target = v == targets[static_cast<size_t>(r)] ? 1 : 0;
      x[v] = static_cast<Real>(scale * wide(dlogprob[r]) * (is_target - p));
    }
  }
}

// The filters of LogitShape: the plain way, by a sort.
template <class Real>
void filter_row(const LogitShape& shape, Real* row, int64_t width) {
  constexpr Real kDropped = -std::numeric_limits<Real>::infinity();
  std::vector<int32_t> order(static_cast<size_t>(width));
  std::iota(order.begin(), order.end(), 0);
  // A diverged model's NaN comes last: sorting needs an order.
  const auto value = [&](int32_t id) { return std::isnan(row[id]) ? kDropped : row[id]; };
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return value(a) != value(b) ? value(a) > value(b) : a < b;
  });
  size_t keep = order.size();
  if (shape.top_k > 0) keep = std::min(keep, static_cast<size_t>(shape.top_k));
  const auto top = wide(row[order[0]]);
  const auto weight = [&](size_t i) { return std::exp(wide(row[order[i]]) - top); };
  if (shape.top_p < 1) {
    double total = 0, reached = 0;
    for (size_t i = 0; i < keep; ++i) total += weight(i);
    for (size_t i = 0; i < keep; ++i) {
      reached += weight(i);
      if (reached >= shape.top_p * total) {
        keep = i + 1;
        break;
      }
    }
  }
  if (shape.min_p > 0) {
    while (keep > 1 && weight(keep - 1) < shape.min_p) --keep;
  }
  for (size_t i = keep; i < order.size(); ++i) row[order[i]] = kDropped;
}

template <class Real>
void shape_row(const LogitShape& shape, Real* row, int64_t width) {
  Real* const end = row + width;
  if (shape.factor == 0) {
    Real* const best = std::max_element(row, end);
    const Real value = *best;
    std::fill(row, end, -std::numeric_limits<Real>::infinity());
    *best = value;
    return;
  }
  for (Real* x = row; x < end; ++x) *x *= static_cast<Real>(shape.factor);
  if (shape.filters()) filter_row(shape, row, width);
}

// The first token whose cumulative exp(x - max) passes uniform * total. Rounding may put the goal
// at the total itself: then the last token with any probability.
template <class Real>
int32_t sample_row(const Real* x, int64_t width, double uniform) {
  const auto m = wide(*std::max_element(x, x + width));
  double total = 0;
  for (int64_t v = 0; v < width; ++v) total += std::exp(wide(x[v]) - m);
  double running = 0;
  int32_t last = 0;
  for (int64_t v = 0; v < width; ++v) {
    const double e = std::exp(wide(x[v]) - m);
    if (e > 0) last = static_cast<int32_t>(v);
    running += e;
    if (running > uniform * total) break;
  }
  return last;
}

}  // namespace r1::ref
