// Operations on the rows of a batch, and the optimizer.
#pragma once

#include "backend/cpu/math.inl"

namespace {

void add_rows(float* x, const float* y, int64_t count) {
  for_each_vector(count, [&](int64_t i, auto n) {
    store_n(x + i, add(load_n(x + i, n), load_n(y + i, n)), n);
  });
}

void scale_rows(float* x, float factor, int64_t count) {
  for_each_vector(
      count, [&](int64_t i, auto n) { store_n(x + i, mul(load_n(x + i, n), set1(factor)), n); });
}

// out = x * rstd * w,  rstd = 1 / sqrt(mean(x^2) + eps)
void rms_norm_segment(const float* x, const float* w, int64_t width, float eps, float* out,
                      float* rstd) {
  V16 squares = set1(0.0f);
  for_each_vector(width, [&](int64_t i, auto n) {
    const V16 v = load_n(x + i, n);
    squares = fma(v, v, squares);
  });
  const float mean = sum(squares) / static_cast<float>(width);
  const float r = 1.0f / __builtin_sqrtf(mean + eps);
  *rstd = r;
  for_each_vector(width, [&](int64_t i, auto n) {
    store_n(out + i, mul(mul(load_n(x + i, n), set1(r)), load_n(w + i, n)), n);
  });
}

void rms_norm(const RmsNorm& a, int64_t row_begin, int64_t row_end) {
  for (int64_t t = row_begin; t < row_end; ++t) {
    for (int64_t g = 0; g < a.groups; ++g) {
      rms_norm_segment(a.x + t * a.xs + g * a.width, a.w, a.width, a.eps,
                       a.out + t * a.os + g * a.width, a.rstd + t * a.groups + g);
    }
  }
}

// kWide x 16 columns of dw, or n, each a chain over the rows.
template <int kWide, class N>
inline void norm_weight_gradient(const RmsNormBackward& a, int64_t column, N n) {
  V16 acc[kWide];
#pragma GCC unroll 4
  for (int w = 0; w < kWide; ++w) acc[w] = load_n(a.dw + column + w * kLanes, n);
  for (int64_t t = 0; t < a.rows; ++t) {
    for (int64_t g = 0; g < a.groups; ++g) {
      const float* const x = a.x + t * a.xs + g * a.width + column;
      const float* const dout = a.dout + t * a.ds + g * a.width + column;
      const V16 rstd = set1(a.rstd[t * a.groups + g]);
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) {
        acc[w] = fma(load_n(dout + w * kLanes, n), mul(load_n(x + w * kLanes, n), rstd), acc[w]);
      }
    }
  }
#pragma GCC unroll 4
  for (int w = 0; w < kWide; ++w) store_n(a.dw + column + w * kLanes, acc[w], n);
}

void rms_norm_backward_dw(const RmsNormBackward& a, int64_t column_begin, int64_t column_end) {
  int64_t c = column_begin;
  for (; c + 4 * kLanes <= column_end; c += 4 * kLanes) norm_weight_gradient<4>(a, c, Whole{});
  for_each_vector(column_end - c, [&](int64_t i, auto n) { norm_weight_gradient<1>(a, c + i, n); });
}

// dx (+)= rstd * (dout * w - x * rstd^2 * mean(dout * w * x))
void rms_norm_backward_dx(const RmsNormBackward& a, int64_t row_begin, int64_t row_end) {
  for (int64_t t = row_begin; t < row_end; ++t) {
    for (int64_t g = 0; g < a.groups; ++g) {
      const float* x = a.x + t * a.xs + g * a.width;
      const float* dout = a.dout + t * a.ds + g * a.width;
      float* dx = a.dx + t * a.dxs + g * a.width;
      V16 dot = set1(0.0f);
      for_each_vector(a.width, [&](int64_t i, auto n) {
        dot = fma(mul(load_n(dout + i, n), load_n(a.w + i, n)), load_n(x + i, n), dot);
      });
      const float r = a.rstd[t * a.groups + g];
      const V16 pull = set1(-(sum(dot) / static_cast<float>(a.width)) * r * r);
      for_each_vector(a.width, [&](int64_t i, auto n) {
        V16 y = mul(load_n(dout + i, n), load_n(a.w + i, n));
        y = mul(fma(load_n(x + i, n), pull, y), set1(r));
        if (a.add) y = add(load_n(dx + i, n), y);
        store_n(dx + i, y, n);
      });
    }
  }
}

// a' = a cos - b sin      b' = b cos + a sin, one pair: what the lanes below compute.
inline void rotate_pair(float* a, float* b, float c, float s) {
  const float x = *a, y = *b;
  *a = __builtin_fmaf(x, c, -(y * s));
  *b = __builtin_fmaf(y, c, x * s);
}

void rope(float* x, int64_t heads, int64_t step, int64_t dim, bool interleaved,
          const float* cos_sin, float sign) {
  const int64_t half = dim / 2;
  for (int64_t h = 0; h < heads; ++h, x += step) {
    if (interleaved) {
      for (int64_t i = 0; i < half; ++i) {
        rotate_pair(x + 2 * i, x + 2 * i + 1, cos_sin[i], cos_sin[half + i] * sign);
      }
      continue;
    }
    for_each_vector(half, [&](int64_t i, auto n) {
      const V16 a = load_n(x + i, n), b = load_n(x + half + i, n);
      const V16 c = load_n(cos_sin + i, n);
      const V16 s = mul(load_n(cos_sin + half + i, n), set1(sign));
      store_n(x + i, fma(a, c, mul(mul(b, s), set1(-1.0f))), n);
      store_n(x + half + i, fma(b, c, mul(a, s)), n);
    });
  }
}

void swiglu(const float* gate, const float* up, float* out, int64_t width) {
  for_each_vector(width, [&](int64_t i, auto n) {
    const V16 g = load_n(gate + i, n), u = load_n(up + i, n);
    store_n(out + i, mul(mul(g, sigmoid(g)), u), n);
  });
}

// d silu(g) / dg = s + g s (1 - s),  s = sigmoid(g)
void swiglu_backward(const float* dout, const float* gate_up, float* dgate_up, int64_t width) {
  for_each_vector(width, [&](int64_t i, auto n) {
    const V16 g = load_n(gate_up + i, n), u = load_n(gate_up + width + i, n);
    const V16 d = load_n(dout + i, n), s = sigmoid(g), silu = mul(g, s);
    const V16 slope = fma(silu, sub(set1(1.0f), s), s);
    store_n(dgate_up + i, mul(mul(d, u), slope), n);
    store_n(dgate_up + width + i, mul(d, silu), n);
  });
}

void log_softmax(const LogSoftmax& a, int64_t row_begin, int64_t row_end) {
  const V16 lowest = set1(-__builtin_inff()), zero = set1(0.0f);
  for (int64_t t = row_begin; t < row_end; ++t) {
    const float* x = a.x + t * a.xs;
    V16 top = lowest;
    for_each_vector(a.width,
                    [&](int64_t i, auto n) { top = max(top, keep(load_n(x + i, n), n, lowest)); });
    const float m = max_lane(top);
    V16 total = zero, weighted = zero;
    for_each_vector(a.width, [&](int64_t i, auto n) {
      const V16 shifted = sub(keep(load_n(x + i, n), n, lowest), set1(m));
      const V16 e = exp(shifted);
      total = add(total, e);
      // exp is 0 where `shifted` may be -inf
      if (a.entropy) weighted = select_less(zero, e, fma(e, shifted, weighted), weighted);
    });
    const float all = sum(total);
    a.max[t] = m;
    a.log_sum[t] = log(all);
    a.logprob[t] = (x[a.targets[t]] - m) - a.log_sum[t];
    if (a.entropy) a.entropy[t] = a.log_sum[t] - sum(weighted) / all;
  }
}

void log_softmax_backward(float* x, int64_t width, int32_t target, float dlogprob, float m,
                          float log_sum, float factor) {
  const float d = dlogprob * factor;
  const float before = x[target];
  for_each_vector(width, [&](int64_t i, auto n) {
    const V16 p = exp(sub(sub(load_n(x + i, n), set1(m)), set1(log_sum)));
    store_n(x + i, mul(p, set1(-d)), n);
  });
  x[target] = d * (1.0f - exp((before - m) - log_sum));
}

// The first token whose running sum of e^(x - max) exceeds uniform times the sum of all. Sums are
// of vectors, one after the other, and within the vector that decides, of lanes.
int32_t sample(const float* x, int64_t width, float uniform) {
  const V16 lowest = set1(-__builtin_inff());
  V16 top = lowest;
  for_each_vector(width,
                  [&](int64_t i, auto n) { top = max(top, keep(load_n(x + i, n), n, lowest)); });
  const V16 m = set1(max_lane(top));
  const auto weights = [&](int64_t i, auto n) {
    return exp(sub(keep(load_n(x + i, n), n, lowest), m));
  };
  // The sum before each stretch of tokens: only the one that decides is read again.
  constexpr int kStretches = 64;
  const int64_t stretch = div_up(div_up(width, kLanes), kStretches) * kLanes;
  float before[kStretches + 1];
  int stretches = 0;
  float total = 0.0f;
  for (int64_t begin = 0; begin < width; begin += stretch) {
    before[stretches++] = total;
    const int64_t left = width - begin;
    for_each_vector(left < stretch ? left : stretch,
                    [&](int64_t i, auto n) { total += sum(weights(begin + i, n)); });
  }
  before[stretches] = total;
  const float goal = uniform * total;
  int s = 0;
  while (s < stretches && !(before[s + 1] > goal)) ++s;
  // Where rounding would run off the end, the last token with any probability.
  int64_t i = s < stretches ? s * stretch : 0;
  float running = s < stretches ? before[s] : 0.0f;
  int32_t last = 0;
  for (; i < width; i += kLanes) {
    float lanes[kLanes];
    const V16 e = weights(i, lanes_left(width - i));
    const float after = running + sum(e);
    store(lanes, e);
    float inside = running;
    for (int l = 0; l < kLanes; ++l) {
      if (lanes[l] > 0.0f) last = static_cast<int32_t>(i + l);
      inside += lanes[l];
      if (after > goal && inside > goal) return static_cast<int32_t>(i + l);
    }
    if (after > goal) return last;
    running = after;
  }
  return last;
}

double sum_squares(const float* x, int64_t count) {
  double lanes[kLanes] = {};
  const auto add_square = [&](int64_t i, int64_t lane) {
    const double v = static_cast<double>(x[i + lane]);
    lanes[lane] += v * v;
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) add_square(i, lane);
  }
  for (int64_t lane = 0; i + lane < count; ++lane) add_square(i, lane);
  for (int step = kLanes / 2; step > 0; step /= 2) {
    for (int lane = 0; lane < step; ++lane) lanes[lane] += lanes[lane + step];
  }
  return lanes[0];
}

void adamw(const AdamWArgs& h, float* w, const float* grad, float* m, float* v, int64_t count) {
  const V16 b1 = set1(h.beta1), c1 = set1(1.0f - h.beta1);
  const V16 b2 = set1(h.beta2), c2 = set1(1.0f - h.beta2);
  for_each_vector(count, [&](int64_t i, auto n) {
    const V16 g = mul(load_n(grad + i, n), set1(h.gradient_scale));
    const V16 m_new = fma(b1, load_n(m + i, n), mul(c1, g));
    const V16 v_new = fma(b2, load_n(v + i, n), mul(c2, mul(g, g)));
    store_n(m + i, m_new, n);
    store_n(v + i, v_new, n);
    const V16 denominator = add(sqrt(div(v_new, set1(h.bias2))), set1(h.epsilon));
    const V16 old = load_n(w + i, n);
    V16 step = div(div(m_new, set1(h.bias1)), denominator);
    step = fma(set1(h.weight_decay), old, step);
    store_n(w + i, sub(old, mul(set1(h.learning_rate), step)), n);
  });
}

}  // namespace
