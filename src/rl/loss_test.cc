#include "rl/loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"

namespace r1 {
namespace {

// Owns what a LossInput points to.
struct Rollout {
  std::vector<int64_t> offsets = {0};
  std::vector<float> logprob, old_logprob, ref_logprob, mask;
  std::vector<double> advantage;
  int64_t rollout_size = 0, rollout_tokens = 0;

  LossInput input() const {
    return {offsets, logprob,   old_logprob,  ref_logprob,
            mask,    advantage, rollout_size, rollout_tokens};
  }
  size_t length(size_t i) const { return static_cast<size_t>(offsets[i + 1] - offsets[i]); }
};

// --- against torch ---

std::vector<float> flat(const Json& rows) {
  std::vector<float> values;
  for (const Json& row : rows) {
    for (const Json& x : row) values.push_back(static_cast<float>(x.get<double>()));
  }
  return values;
}

Rollout rollout_of(const Json& json) {
  Rollout r;
  for (const Json& row : json.at("logprob")) {
    r.offsets.push_back(r.offsets.back() + static_cast<int64_t>(row.size()));
  }
  r.logprob = flat(json.at("logprob"));
  r.old_logprob = flat(json.at("old_logprob"));
  r.ref_logprob = flat(json.at("ref_logprob"));
  r.mask = json.at("mask").get<std::vector<float>>();
  r.advantage = json.at("advantage").get<std::vector<double>>();
  r.rollout_size = json.at("rollout_size").get<int64_t>();
  r.rollout_tokens = json.at("rollout_tokens").get<int64_t>();
  return r;
}

LossOptions options_of(const Json& json) {
  LossOptions o;
  o.epsilon = json.at("epsilon").get<double>();
  o.epsilon_high = json.at("epsilon_high").get<double>();
  o.beta = json.at("beta").get<double>();
  o.length_normalizer = json.at("length_normalizer").get<int64_t>();
  return o;
}

// Both sides compute in double from the same float32 inputs. Sums of some 40 terms that cancel are
// good to 1e-13; dlogprob is rounded once, to float32 (6e-8). A millionth, relative to the largest
// value of its kind, leaves no room for a wrong formula.
constexpr double kTolerance = 1e-6;

TEST(Loss, AgreesWithTorch) {
  const auto path = std::filesystem::path(R1_SOURCE_DIR) / "tests/fixtures/rl_losses.json";
  const Json fixtures = parse_json(read_file(path), path.string());
  int compared = 0;
  for (const Json& json : fixtures.at("cases")) {
    const Rollout rollout = rollout_of(json);
    for (const std::string& name : loss_names()) {
      SCOPED_TRACE(json.at("name").get<std::string>() + " " + name);
      const Json& expected = json.at("expected").at(name);
      const LossOutput got = find_loss(name)(rollout.input(), options_of(json));
      const double loss = expected.at("loss").get<double>();
      EXPECT_NEAR(got.loss, loss, kTolerance * std::abs(loss) + 1e-12);
      EXPECT_NEAR(got.kl, expected.at("kl").get<double>(), kTolerance);
      EXPECT_NEAR(got.clip_ratio, expected.at("clip_ratio").get<double>(), 1e-12);
      std::vector<double> derivative;
      for (const Json& row : expected.at("dlogprob")) {
        for (const Json& x : row) derivative.push_back(x.get<double>());
      }
      ASSERT_EQ(got.dlogprob.size(), derivative.size());
      for (size_t t = 0; t < derivative.size(); ++t) {
        EXPECT_NEAR(static_cast<double>(got.dlogprob[t]), derivative[t],
                    kTolerance * std::abs(derivative[t]) + 1e-12)
            << "token " << t;
      }
      ++compared;
    }
  }
  EXPECT_GE(compared, 60);
}

// --- by their own definitions ---

// Log-probabilities on a grid of 2^-12, so that steps of 2^-10 on them are exact in float32.
Rollout random_rollout(uint64_t seed, double spread) {
  constexpr double kGrid = 4096;
  Rng rng(seed);
  Rollout r;
  for (const int64_t length : {4, 1, 9, 6, 2, 7}) {
    const double drift = spread * rng.normal();
    for (int64_t t = 0; t < length; ++t) {
      const double old = std::round((-0.1 - 2.0 * rng.uniform()) * kGrid) / kGrid;
      const double gap = std::round((drift + spread * rng.normal()) * kGrid) / kGrid;
      const double ref = std::round((old + 0.5 * rng.normal()) * kGrid) / kGrid;
      r.old_logprob.push_back(static_cast<float>(old));
      r.logprob.push_back(static_cast<float>(old + gap));
      r.ref_logprob.push_back(static_cast<float>(ref));
    }
    r.offsets.push_back(static_cast<int64_t>(r.logprob.size()));
    r.mask.push_back(1.0f);
    r.advantage.push_back(rng.normal());
  }
  r.rollout_size = 8;
  r.rollout_tokens = r.offsets.back() + 11;
  return r;
}

LossOptions some_options(double beta) {
  LossOptions o;
  o.beta = beta;
  o.epsilon_high = 0.3;
  o.length_normalizer = 20;
  return o;
}

TEST(Loss, DerivativeIsThatOfFiniteDifferences) {
  constexpr float kStep = 1.0f / 1024;
  for (const std::string& name : loss_names()) {
    for (const double spread : {0.02, 0.2}) {
      for (const double beta : {0.0, 0.04}) {
        SCOPED_TRACE(name + " " + std::to_string(spread) + " " + std::to_string(beta));
        const Rollout rollout = random_rollout(3, spread);
        const LossFunction loss = find_loss(name);
        const LossOutput at = loss(rollout.input(), some_options(beta));
        // CISPO holds the ratio constant: the old log-probability moves along.
        const bool holds_ratio = name == "cispo";
        auto moved = [&](size_t t, float by) {
          Rollout r = rollout;
          r.logprob[t] += by;
          if (holds_ratio) r.old_logprob[t] += by;
          return loss(r.input(), some_options(beta)).loss;
        };
        double size = 0;
        for (const float d : at.dlogprob) size = std::max(size, std::abs(static_cast<double>(d)));
        ASSERT_GT(size, 0);
        for (size_t t = 0; t < rollout.logprob.size(); ++t) {
          const double slope =
              (moved(t, kStep) - moved(t, -kStep)) / (2 * static_cast<double>(kStep));
          // The third derivative is of the size of the first: an error of step^2 / 6 of it.
          EXPECT_NEAR(slope, static_cast<double>(at.dlogprob[t]), 2e-6 * size) << "token " << t;
        }
      }
    }
  }
}

TEST(Loss, AtRatioOneIsPolicyGradientWithTheLossesWeight) {
  Rollout r = random_rollout(5, 0.2);
  r.old_logprob = r.logprob;
  const double n = static_cast<double>(r.rollout_size);
  const double tokens = static_cast<double>(r.rollout_tokens);
  const LossOptions options = some_options(0);
  auto weight = [&](const std::string& name, double length) {
    if (name == "dr_grpo") return 1 / (n * static_cast<double>(options.length_normalizer));
    if (name == "dapo" || name == "cispo") return 1 / tokens;
    if (name == "rloo") return 1 / n;
    return 1 / (n * length);  // grpo, gspo
  };
  for (const std::string& name : loss_names()) {
    SCOPED_TRACE(name);
    const LossOutput out = find_loss(name)(r.input(), options);
    EXPECT_EQ(out.clip_ratio, 0);
    EXPECT_EQ(out.kl, 0);
    for (size_t i = 0; i < r.advantage.size(); ++i) {
      const double expected = -r.advantage[i] * weight(name, static_cast<double>(r.length(i)));
      for (int64_t t = r.offsets[i]; t < r.offsets[i + 1]; ++t) {
        EXPECT_FLOAT_EQ(out.dlogprob[static_cast<size_t>(t)], static_cast<float>(expected));
      }
    }
  }
}

// A masked completion is as good as absent, while the normalizers stay those of the rollout.
TEST(Loss, MaskZeroLeavesACompletionOut) {
  for (const std::string& name : loss_names()) {
    SCOPED_TRACE(name);
    Rollout masked = random_rollout(7, 0.2);
    masked.mask[2] = 0.0f;
    const size_t begin = static_cast<size_t>(masked.offsets[2]), count = masked.length(2);
    Rollout without = masked;
    auto drop = [&](std::vector<float>& v) {
      v.erase(v.begin() + static_cast<std::ptrdiff_t>(begin),
              v.begin() + static_cast<std::ptrdiff_t>(begin + count));
    };
    drop(without.logprob);
    drop(without.old_logprob);
    drop(without.ref_logprob);
    without.mask.erase(without.mask.begin() + 2);
    without.advantage.erase(without.advantage.begin() + 2);
    without.offsets.erase(without.offsets.begin() + 2);
    for (size_t i = 2; i < without.offsets.size(); ++i) {
      without.offsets[i] -= static_cast<int64_t>(count);
    }
    // What a masked completion holds is of no consequence.
    masked.advantage[2] = 1e6;
    for (size_t t = begin; t < begin + count; ++t) masked.logprob[t] = -INFINITY;

    LossOutput a = find_loss(name)(masked.input(), some_options(0.04));
    const LossOutput b = find_loss(name)(without.input(), some_options(0.04));
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(a.kl, b.kl);
    EXPECT_EQ(a.clip_ratio, b.clip_ratio);
    for (size_t t = begin; t < begin + count; ++t) EXPECT_EQ(a.dlogprob[t], 0.0f);
    drop(a.dlogprob);
    EXPECT_EQ(a.dlogprob, b.dlogprob);

    std::fill(masked.mask.begin(), masked.mask.end(), 0.0f);
    const LossOutput none = find_loss(name)(masked.input(), some_options(0.04));
    EXPECT_EQ(none.loss, 0);
    EXPECT_EQ(none.kl, 0);
    EXPECT_EQ(none.clip_ratio, 0);
  }
}

TEST(Loss, ClipsWhatWouldGoFurtherAndNothingElse) {
  const double up = std::log(1.5), down = std::log(0.5);
  struct Case {
    double gap, advantage, value, derivative;
    bool clipped;
  };
  for (const Case& c : std::initializer_list<Case>{
           {up, 2, -2 * 1.3, 0, true},         // better, already more likely
           {up, -2, 2 * 1.5, 2 * 1.5, false},  // worse, yet more likely: pulled back
           {down, 2, -2 * 0.5, -2 * 0.5, false},
           {down, -2, 2 * 0.8, 0, true},
           {0, 2, -2, -2, false},
           {up, 0, 0, 0, false}}) {
    const TokenTerm t = clipped_surrogate(-1 + c.gap, -1, c.advantage, 0.2, 0.3);
    EXPECT_NEAR(t.value, c.value, 1e-12);
    EXPECT_NEAR(t.derivative, c.derivative, 1e-12);
    EXPECT_EQ(t.clipped, c.clipped) << c.gap << " " << c.advantage;
  }
}

TEST(Loss, KlEstimateIsZeroAtTheReferenceAndUnbiased) {
  const TokenTerm same = kl_term(-1.25, -1.25, 0.04);
  EXPECT_EQ(same.value, 0);
  EXPECT_EQ(same.derivative, 0);
  // Over tokens drawn from p, its mean is KL(p || q).
  const double p[] = {0.5, 0.3, 0.2}, q[] = {0.2, 0.2, 0.6};
  double estimate = 0, kl = 0;
  for (size_t i = 0; i < 3; ++i) {
    estimate += p[i] * kl_term(std::log(p[i]), std::log(q[i]), 1).value;
    kl += p[i] * std::log(p[i] / q[i]);
  }
  EXPECT_NEAR(estimate, kl, 1e-12);
}

TEST(Loss, UnknownNameIsRefusedWithASuggestion) {
  try {
    find_loss("dr_grop");
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("dr_grop"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("did you mean \"dr_grpo\"?"), std::string::npos)
        << e.what();
  }
  EXPECT_THROW(find_loss(""), InputError);
  EXPECT_THROW(find_loss("GRPO"), InputError);
}

}  // namespace
}  // namespace r1
