// Cases of the loss, of sampling and of the optimizer.
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
  for (const int64_t count : {0, 1, 17, 4095, 4096, 4097, 200001}) {
    cases.push_back(sum_squares_case(count));
  }
  for (const int64_t count : {1, 17, 50003}) cases.push_back(adamw_case(count, 1));
  cases.push_back(adamw_case(100, 1e-6));  // where epsilon matters
  return cases;
}

}  // namespace r1
