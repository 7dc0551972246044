// Routing rows to experts, and their outputs back to rows.
#pragma once

#include "backend/cpu/math.inl"

namespace {

constexpr float kTiny = 1e-20f;  // added to the sum of the chosen scores, which may all be zero

// s = sigmoid(logits), or softmax(logits) with its sum by the tree.
void route_scores(const Route& a, const float* logits, float* s) {
  const V16 lowest = set1(-__builtin_inff());
  V16 top = lowest, total = set1(0.0f);
  for_each_vector(
      a.width, [&](int64_t i, auto n) { top = max(top, keep(load_n(logits + i, n), n, lowest)); });
  const V16 m = set1(max_lane(top));
  for_each_vector(a.width, [&](int64_t i, auto n) {
    const V16 x = keep(load_n(logits + i, n), n, lowest);
    const V16 y = a.sigmoid ? sigmoid(x) : exp(sub(x, m));
    total = add(total, y);
    store_n(s + i, y, n);
  });
  if (a.sigmoid) return;
  const V16 all = set1(sum(total));
  for_each_vector(a.width,
                  [&](int64_t i, auto n) { store_n(s + i, div(load_n(s + i, n), all), n); });
}

// Marks the `count` largest of values[0, width) whose mark is 1 with 2; of equals the lower index.
// There are as many.
void mark_best(const float* values, int64_t width, int64_t count, uint8_t* mark) {
  for (int64_t c = 0; c < count; ++c) {
    int64_t best = 0;
    for (int64_t i = 0; i < width; ++i) {
      if (mark[i] == 1 && (mark[best] != 1 || values[i] > values[best])) best = i;
    }
    mark[best] = 2;
  }
}

// Leaves mark 2 on the chosen experts.
void choose_experts(const Route& a, const float* choice, uint8_t* mark) {
  float score[kMaxExperts];
  uint8_t group_mark[kMaxExperts];
  const int64_t size = a.width / a.groups;
  for (int64_t g = 0; g < a.groups; ++g) {
    const float* x = choice + g * size;
    float first = x[0], second = -__builtin_inff();
    for (int64_t i = 1; i < size; ++i) {
      if (x[i] > first) {
        second = first;
        first = x[i];
      } else if (x[i] > second) {
        second = x[i];
      }
    }
    score[g] = a.group_pairs && size > 1 ? first + second : first;
    group_mark[g] = 1;
  }
  mark_best(score, a.groups, a.groups_per_row, group_mark);
  for (int64_t i = 0; i < a.width; ++i) mark[i] = group_mark[i / size] == 2 ? 1 : 0;
  mark_best(choice, a.width, a.chosen, mark);
}

void route(const Route& a, int64_t row_begin, int64_t row_end) {
  float s[kMaxExperts], choice[kMaxExperts];
  uint8_t mark[kMaxExperts];
  for (int64_t t = row_begin; t < row_end; ++t) {
    route_scores(a, a.logits + t * a.ls, s);
    for (int64_t i = 0; i < a.width; ++i) choice[i] = a.bias ? s[i] + a.bias[i] : s[i];
    choose_experts(a, choice, mark);
    int32_t* expert = a.expert + t * a.chosen;
    float* weight = a.weight + t * a.chosen;
    float total = kTiny;
    for (int64_t i = 0, j = 0; i < a.width; ++i) {
      if (mark[i] != 2) continue;
      expert[j] = static_cast<int32_t>(i);
      weight[j++] = s[i];
      total += s[i];
    }
    for (int64_t j = 0; j < a.chosen; ++j) {
      weight[j] = (a.normalize ? weight[j] / total : weight[j]) * a.scale;
    }
  }
}

// The formulas are ref_experts.h's.
void route_backward(const RouteBackward& b, int64_t row_begin, int64_t row_end) {
  const Route& a = b.forward;
  float s[kMaxExperts], ds[kMaxExperts];
  for (int64_t t = row_begin; t < row_end; ++t) {
    const int32_t* expert = a.expert + t * a.chosen;
    const float* dweight = b.dweight + t * a.chosen;
    route_scores(a, a.logits + t * a.ls, s);
    for (int64_t i = 0; i < a.width; ++i) ds[i] = 0.0f;
    float total = kTiny, weighted = 0.0f, dot = 0.0f;
    for (int64_t j = 0; j < a.chosen; ++j) {
      total += s[expert[j]];
      weighted += dweight[j] * s[expert[j]];
    }
    for (int64_t j = 0; j < a.chosen; ++j) {
      const float d = a.normalize ? (dweight[j] - weighted / total) / total : dweight[j];
      ds[expert[j]] = d * a.scale;
      dot += d * a.scale * s[expert[j]];
    }
    float* out = b.dlogits + t * b.ds;
    for (int64_t i = 0; i < a.width; ++i) {
      // 1 - s by the sigmoid of -x: where s is near 1 the difference would be rounding.
      out[i] = !a.sigmoid      ? s[i] * (ds[i] - dot)
               : ds[i] == 0.0f ? 0.0f
                               : ds[i] * s[i] / (1.0f + exp(a.logits[t * a.ls + i]));
    }
  }
}

void combine_rows(const Combine& a, int64_t row_begin, int64_t row_end) {
  for (int64_t t = row_begin; t < row_end; ++t) {
    const int32_t* slot = a.slot + t * a.chosen;
    const float* weight = a.weight + t * a.chosen;
    for_each_vector(a.width, [&](int64_t c, auto n) {
      V16 acc = a.add ? load_n(a.out + t * a.os + c, n) : set1(0.0f);
      for (int64_t j = 0; j < a.chosen; ++j) {
        acc = fma(set1(weight[j]), load_n(a.y + slot[j] * a.ys + c, n), acc);
      }
      store_n(a.out + t * a.os + c, acc, n);
    });
  }
}

void combine_rows_backward(const CombineBackward& b, int64_t row_begin, int64_t row_end) {
  const Combine& a = b.forward;
  for (int64_t t = row_begin; t < row_end; ++t) {
    const float* dout = a.out + t * a.os;
    for (int64_t j = t * a.chosen; j < (t + 1) * a.chosen; ++j) {
      const float* y = a.y + a.slot[j] * a.ys;
      float* dy = b.dy + a.slot[j] * b.dys;
      V16 dot = set1(0.0f);
      for_each_vector(a.width, [&](int64_t c, auto n) {
        const V16 d = load_n(dout + c, n);
        dot = fma(d, load_n(y + c, n), dot);
        store_n(dy + c, mul(set1(a.weight[j]), d), n);
      });
      b.dweight[j] = sum(dot);
    }
  }
}

}  // namespace
