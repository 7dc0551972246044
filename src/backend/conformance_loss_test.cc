// Cases of the loss, of sampling and of the optimizer.
#include <algorithm>

#include "backend/conformance.h"

namespace r1 {
namespace {

using Outputs = std::vector<Output>;

enum class Logits { kPlain, kMasked, kOffset, kWide };

// kMasked: two in three are -inf, among them the first and the last. kOffset: near 10,000, where
// exp without the maximum would overflow. kWide: one token has nearly all the probability.
Matrix make_logits(Rng& rng, Logits kind, int64_t rows, int64_t width) {
  Matrix logits = Matrix::random(rng, rows, width, kind == Logits::kWide ? 50 : 2);
  const int64_t kept = width / 2;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t v = 0; v < width; ++v) {
      const bool edge = v == 0 || v + 1 == width;
      if (kind == Logits::kMasked && v != kept && (edge || rng.below(3) != 0)) {
        logits.at(r, v) = -std::numeric_limits<float>::infinity();
      }
      if (kind == Logits::kOffset) logits.at(r, v) += 1e4f;
    }
  }
  return logits;
}

std::string name_of(const char* op, Logits kind, int64_t rows, int64_t width) {
  constexpr const char* kKinds[] = {"", " masked", " offset", " wide"};
  return std::string(op) + kKinds[static_cast<int>(kind)] + " R=" + std::to_string(rows) +
         " V=" + std::to_string(width);
}

// Every third target is the middle token, which is never masked; others may be.
std::vector<int32_t> make_targets(Rng& rng, int64_t rows, int64_t width) {
  std::vector<int32_t> targets(static_cast<size_t>(rows));
  for (size_t r = 0; r < targets.size(); ++r) {
    targets[r] = static_cast<int32_t>(r % 3 == 0 ? width / 2 : rng.between(0, width - 1));
  }
  return targets;
}

Case log_softmax_case(Logits kind, int64_t rows, int64_t width) {
  Case c{.name = name_of("log_softmax", kind, rows, width),
         .rows = rows,
         .tolerance = 1e-5,
         .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(9);
    const Matrix logits = make_logits(rng, kind, rows, width);
    const std::vector<int32_t> targets = make_targets(rng, rows, width);
    const std::vector<float> dlogprob = random_floats(rng, rows);
    std::vector<float> logprob(dlogprob.size()), max = logprob, log_sum = logprob;
    std::vector<float> entropy = logprob, again = logprob;
    Matrix dlogits = logits;
    for (const RowRange& r : chunks) {
      const int64_t i = r.begin;
      ops.log_softmax(logits.rows(r), span_of(targets, r), again.data() + i, max.data() + i,
                      log_sum.data() + i, nullptr);
      ops.log_softmax(logits.rows(r), span_of(targets, r), logprob.data() + i, max.data() + i,
                      log_sum.data() + i, entropy.data() + i);
      ops.log_softmax_backward(dlogits.rows(r), span_of(targets, r), dlogprob.data() + i,
                               max.data() + i, log_sum.data() + i, 0.125f);
    }
    EXPECT_EQ(again, logprob) << "the entropy changed the log-probability";
    return Outputs{{"logprob", widen(logprob)},
                   {"max", widen(max)},
                   {"log_sum", widen(log_sum)},
                   {"entropy", widen(entropy)},
                   {"dlogits", dlogits.values()}};
  };
  return c;
}

Case sample_case(Logits kind, int64_t rows, int64_t width) {
  Case c{.name = name_of("sample", kind, rows, width), .rows = rows, .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(10);
    const Matrix logits = make_logits(rng, kind, rows, width);
    std::vector<float> uniform(static_cast<size_t>(rows));
    for (float& u : uniform) u = static_cast<float>(rng.below(1 << 24)) * 0x1p-24f;
    // At 0 the answer is the first token with any probability, and which has any is a matter of
    // precision where some are e^-400.
    if (kind != Logits::kWide) uniform.front() = 0;
    std::vector<int32_t> token(uniform.size(), -1);
    for (const RowRange& r : chunks) {
      ops.sample(logits.rows(r), uniform.data() + r.begin, token.data() + r.begin);
    }
    return Outputs{{"token", widen(token)}};
  };
  return c;
}

// --- shape_logits ---

// Rows of all kinds: kind r % 10 in row r, so that the filters meet ties, masks, peaks and what a
// diverged model gives.
float shape_logit(Rng& rng, int64_t kind, double scale, int64_t v) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto x = static_cast<float>(rng.normal() * scale);
  switch (kind) {
    case 0:
      return std::round(x);  // ties, at the cut as well
    case 1:
      return 1.5f;
    case 2:
      return rng.below(3) ? -kInfinity : x;
    case 3:
      return v == 3 ? 60 : x;  // one has all the probability
    case 4:
      return x * 1e-3f;  // flat
    case 5:
      return x * 1e4f;
    case 6:
      return x + 1e4f;  // few bits are left
    case 7:
      return rng.below(50) ? x : std::nanf("");
    case 8:
      return v == 2 ? kInfinity : v == 4 ? -0.0f : std::round(x);
    default:
      return x;
  }
}

// A top-p at which some token just reaches it, or just does not.
double brink(Rng& rng, const float* x, int64_t width, double factor) {
  std::vector<double> sorted;
  for (int64_t v = 0; v < width; ++v) {
    if (x[v] == x[v]) sorted.push_back(static_cast<double>(x[v]) * factor);
  }
  if (sorted.empty()) return 0.5;
  std::sort(sorted.rbegin(), sorted.rend());
  std::vector<double> sums;
  for (const double y : sorted) {
    sums.push_back((sums.empty() ? 0 : sums.back()) + std::exp(y - sorted[0]));
  }
  const double p = sums[rng.below(sums.size())] / sums.back();
  const double near = p * (1 + static_cast<double>(rng.between(-3, 3)) * 0x1p-52);
  return near > 0 && near <= 1 ? near : 0.5;
}

LogitShape make_shape(Rng& rng, const float* x, int64_t width) {
  const auto sometimes = [&](double value, double off) { return rng.below(3) ? off : value; };
  LogitShape s;
  s.factor = rng.below(8) ? static_cast<float>(1 / (0.2 + rng.uniform())) : rng.below(2) ? 1 : 0;
  if (rng.below(3) == 0) s.top_k = rng.between(1, width + 1);
  s.top_p = rng.below(3) ? 0.3 + 0.7 * rng.uniform() : sometimes(rng.uniform(), 1);
  if (rng.below(3) == 0) s.top_p = brink(rng, x, width, static_cast<double>(s.factor));
  s.min_p = sometimes(rng.below(2) ? rng.uniform() : 1e-4, 0);
  return s;
}

// Bits are compared, but a NaN is one like the other.
std::vector<double> without_nan(std::vector<double> values) {
  for (double& v : values) v = std::isnan(v) ? 1e300 : v;
  return values;
}

Case shape_logits_case(int64_t rows, int64_t width) {
  const std::string name = "shape_logits R=" + std::to_string(rows) + " V=" + std::to_string(width);
  Case c{.name = name, .rows = rows, .run = {}};
  c.run = [=](Ops& ops, const Chunks& chunks) {
    Rng rng(13);
    Matrix logits(rows, width);
    std::vector<LogitShape> shapes;
    for (int64_t r = 0; r < rows; ++r) {
      const double scale = 0.2 + 4 * rng.uniform();
      for (int64_t v = 0; v < width; ++v) logits.at(r, v) = shape_logit(rng, r % 10, scale, v);
      shapes.push_back(make_shape(rng, &logits.at(r, 0), width));
    }
    std::vector<int32_t> token(shapes.size());
    std::vector<float> value(shapes.size());
    for (const RowRange& r : chunks) {
      ops.argmax(logits.rows(r), token.data() + r.begin, value.data() + r.begin);
      ops.shape_logits(logits.rows(r), span_of(shapes, r));
    }
    return Outputs{{"logits", without_nan(logits.values())},
                   {"token", widen(token)},
                   {"value", without_nan(widen(value))}};
  };
  return c;
}

Case sum_squares_case(int64_t count) {
  Case c{.name = "sum_squares n=" + std::to_string(count), .tolerance = 1e-12, .run = {}};
  c.run = [=](Ops& ops, const Chunks&) {
    Rng rng(11);
    return Outputs{{"sum", {ops.sum_squares(random_floats(rng, count))}}};
  };
  return c;
}

// Three steps, so that the moments matter.
Case adamw_case(int64_t count, double gradient_size) {
  Case c{.name = "adamw n=" + std::to_string(count), .tolerance = 2e-6, .run = {}};
  c.run = [=](Ops& ops, const Chunks&) {
    Rng rng(12);
    std::vector<float> w = random_floats(rng, count), m(w.size()), v(w.size());
    AdamW hyper{.learning_rate = 0.01f, .weight_decay = 0.1f, .gradient_scale = 0.3f};
    for (int step = 1; step <= 3; ++step) {
      hyper.bias1 = static_cast<float>(1 - std::pow(static_cast<double>(hyper.beta1), step));
      hyper.bias2 = static_cast<float>(1 - std::pow(static_cast<double>(hyper.beta2), step));
      ops.adamw(hyper, w, random_floats(rng, count, gradient_size), m, v);
    }
    return Outputs{{"w", widen(w)}, {"m", widen(m)}, {"v", widen(v)}};
  };
  return c;
}

}  // namespace

std::vector<Case> loss_cases() {
  std::vector<Case> cases;
  for (const int64_t width : {1, 5, 17, 100, 1000}) {
    cases.push_back(log_softmax_case(Logits::kPlain, 67, width));
    cases.push_back(sample_case(Logits::kPlain, 67, width));
  }
  for (const Logits kind : {Logits::kMasked, Logits::kOffset, Logits::kWide}) {
    cases.push_back(log_softmax_case(kind, 67, 133));
    cases.push_back(log_softmax_case(kind, 5, 32003));
    cases.push_back(sample_case(kind, 67, 133));
    cases.push_back(sample_case(kind, 5, 32003));
  }
  for (const int64_t width : {1, 2, 5, 17, 100, 1003}) {
    cases.push_back(shape_logits_case(500, width));
  }
  cases.push_back(shape_logits_case(20, 32003));
  for (const int64_t count : {0, 1, 17, 4095, 4096, 4097, 200001}) {
    cases.push_back(sum_squares_case(count));
  }
  for (const int64_t count : {1, 17, 50003}) cases.push_back(adamw_case(count, 1));
  cases.push_back(adamw_case(100, 1e-6));  // where epsilon matters
  return cases;
}

}  // namespace r1
