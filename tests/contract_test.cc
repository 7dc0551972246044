// The numerics contract (docs/numerics.md), end to end: scoring, chunked prefill and decoding give
// the same bits, whatever the batch, the threads and the instruction set; training gives the same
// gradients. Compares bits, never tolerances.
#include "contract.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "backend/backend.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "model/testing.h"
#include "model/token_scores.h"
#include "train/trainer.h"

namespace r1 {
namespace {

ModelConfig tiny(const std::string& architecture) {
  return any_config(architecture, {{"tie_word_embeddings", architecture != "Qwen2ForCausalLM"}});
}

// Every architecture; those with latent attention in both of its forms.
std::vector<ModelConfig> models() {
  std::vector<ModelConfig> all;
  for (const std::string& architecture : architecture_names()) {
    all.push_back(tiny(architecture));
    if (!all.back().mla()) continue;
    all.push_back(all.back());
    all.back().mla_expanded = true;
  }
  return all;
}

// Weights large enough that attention and logits are far from uniform.
Model make_model(const ModelConfig& config, Ops& ops, DType dtype) {
  Model m = Model::create(config, 7, ops, dtype);
  Rng rng(8);
  change_masters(m, ops, [&](std::span<float> masters) {
    for (const ParameterSet::Row& row : m.parameters()) {
      for (int64_t i = row.offset; i < row.offset + row.spec.size(); ++i) {
        masters[static_cast<size_t>(i)] += static_cast<float>(0.15 * rng.normal());
      }
    }
  });
  return m;
}

ModelConfig with_cache(ModelConfig config, KvType type) {
  config.kv_cache_dtype = type;
  return config;
}

struct Case {
  std::string isa;
  ModelConfig config;
  DType dtype;
};

class Contract : public testing::TestWithParam<Case> {};

TEST_P(Contract, PrefillOfAnyChunkingAndDecodeGiveTheSameLogits) {
  const Case& p = GetParam();
  std::vector<float> first;
  for (const int threads : {1, 2, 3, 4}) {
    ThreadPool pool(threads);
    const auto ops = make_ops(pool, p.isa);
    ASSERT_STREQ(ops->isa(), p.isa.c_str());
    const Model model = make_model(p.config, *ops, p.dtype);
    const auto ids = random_tokens(1, 90, model.config().vocab_size);
    if (first.empty()) {
      first = all_logits(model, *ops, ids, {90}, 0);
      for (const float x : first) ASSERT_TRUE(std::isfinite(x));
    }
    EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {90}, 0))) << threads;
    EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {1}, 0))) << threads;
    EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {1}, 5))) << threads;
    EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {7, 16, 33, 1, 5}, 2))) << threads;
    EXPECT_TRUE(same_bits(first, all_logits(model, *ops, ids, {64, 1}, 3))) << threads;
  }
}

// The engine's log-probabilities, the scorer's, and the trainer's, over groups that share prompts.
TEST_P(Contract, SampledLogProbabilitiesAreTheTrainers) {
  const Case& p = GetParam();
  ThreadPool pool(2);
  const auto ops = make_ops(pool, p.isa);
  Model model = make_model(p.config, *ops, p.dtype);
  for (const SamplingParams& sampling : {SamplingParams{}, SamplingParams{0.7, 20, 0.9, 0.01}}) {
    std::vector<Request> requests;
    for (uint64_t i = 0; i < 5; ++i) {
      Request r;
      r.prompt = random_tokens(20 + i, 5 + 9 * static_cast<int64_t>(i), model.config().vocab_size);
      r.n = 4;
      r.max_new_tokens = 50 - static_cast<int64_t>(i);
      r.seed = i;
      r.sampling = sampling;
      r.stop_ids = {3};
      requests.push_back(r);
    }
    EngineOptions options;
    options.max_sequences = 7;
    options.max_batch_tokens = 20;
    options.prefill_chunk = 6;
    Engine engine(model, *ops, options);
    const auto groups = engine.generate(requests);

    Trainer full(model, *ops, {}, false), checkpointing(model, *ops, {}, true);
    SequenceBatch batch;
    std::vector<float> sampled;
    for (size_t i = 0; i < groups.size(); ++i) {
      SequenceGroup g;
      g.prefix = requests[i].prompt;
      for (const Completion& c : groups[i]) {
        g.branches.push_back(c.ids);
        sampled.insert(sampled.end(), c.logprobs.begin(), c.logprobs.end());
      }
      batch.add(g, 0, g.branches.size());
    }
    ASSERT_GT(sampled.size(), 100u);
    const std::vector<float> dlogprob(sampled.size(), -0.01f);
    EXPECT_TRUE(same_bits(sampled, SequenceScorer(model, *ops).score(batch, sampling).logprob));
    EXPECT_TRUE(same_bits(sampled, full.accumulate(batch, sampling, dlogprob).logprob));
    EXPECT_TRUE(same_bits(sampled, checkpointing.accumulate(batch, sampling, dlogprob).logprob));
  }
}

// What a request yields does not depend on its neighbours or on the engine's sizes.
TEST_P(Contract, ARequestYieldsTheSameTokensInAnyCompany) {
  const Case& p = GetParam();
  ThreadPool pool(3);
  const auto ops = make_ops(pool, p.isa);
  const Model model = make_model(p.config, *ops, p.dtype);
  Request r;
  r.prompt = random_tokens(5, 37, model.config().vocab_size);
  r.n = 3;
  r.max_new_tokens = 40;
  r.seed = 11;
  Engine alone(model, *ops, {});
  const auto expected = alone.generate({&r, 1})[0];
  std::vector<Request> company;
  for (uint64_t i = 0; i < 9; ++i) {
    Request other = r;
    other.prompt =
        random_tokens(50 + i, 1 + 11 * static_cast<int64_t>(i), model.config().vocab_size);
    other.seed = i;
    company.push_back(other);
  }
  company.insert(company.begin() + 4, r);
  EngineOptions small;
  small.max_sequences = 5;
  small.max_batch_tokens = 12;
  small.prefill_chunk = 5;
  small.kv_pages = 40;
  Engine crowded(model, *ops, small);
  const auto got = crowded.generate(company)[4];
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].ids, expected[i].ids);
    EXPECT_TRUE(same_bits(got[i].logprobs, expected[i].logprobs));
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const BackendChoice& b : available_backends()) {
    if (b.backend == "ref") continue;
    for (const ModelConfig& c : models()) {
      for (const DType d : {DType::kF32, DType::kBF16}) all.push_back({b.isa, c, d});
      for (const KvType t : {KvType::kBF16, KvType::kI8}) {
        all.push_back({b.isa, with_cache(c, t), DType::kF32});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Contract, testing::ValuesIn(cases()), [](const auto& param_info) {
  const Case& c = param_info.param;
  return c.isa + "_" + c.config.architecture.substr(0, c.config.architecture.find("For")) +
         (c.config.mla_expanded ? "_expanded_" : "_") + std::string(dtype_name(c.dtype)) + "_kv_" +
         kv_type_names()[static_cast<size_t>(c.config.kv_cache_dtype)];
});

// Trained weights are the same bits for any number of threads and any instruction set, with and
// without recomputation.
TEST(Contract, TrainingGivesTheSameWeights) {
  std::vector<ModelConfig> configs = models();
  for (const ModelConfig& config : models()) {
    configs.push_back(with_cache(config, KvType::kBF16));
    configs.push_back(with_cache(config, KvType::kI8));
  }
  for (const ModelConfig& config : configs) {
    std::vector<float> first;
    for (const BackendChoice& b : available_backends()) {
      if (b.backend == "ref") continue;
      for (const int threads : {1, 2, 4}) {
        ThreadPool pool(threads);
        const auto ops = make_ops(pool, b.isa);
        Model model = make_model(config, *ops, DType::kF32);
        Trainer trainer(model, *ops, {}, threads == 2);
        for (uint64_t step = 0; step < 3; ++step) {
          SequenceBatch batch;
          SequenceGroup g;
          g.prefix = random_tokens(step, 21, model.config().vocab_size);
          for (uint64_t i = 0; i < 3; ++i) {
            g.branches.push_back(random_tokens(10 + i, 30, model.config().vocab_size));
          }
          batch.add(g, 0, 3);
          const std::vector<float> d(batch.targets().size(), -1.0f / 90);
          trainer.accumulate(batch, {}, d);
          trainer.apply(1e-2);
        }
        const std::vector<float> weights = model.download_masters();
        if (first.empty()) first = weights;
        EXPECT_TRUE(same_bits(first, weights))
            << config.architecture << config.mla_expanded << " " << b.isa << " " << threads;
      }
    }
  }
}

// A group's shared prompt gives the gradient that its completions give one by one.
TEST(Contract, SharedPromptHasTheGradientOfSeparatePrompts) {
  ThreadPool pool(2);
  const auto ops = make_ops(pool);
  auto update = [&](const ModelConfig& config, bool shared) {
    Model model = make_model(config, *ops, DType::kF32);
    OptimizerOptions o;
    o.max_grad_norm = 0;
    o.adam_epsilon = 1e3;  // the step is then proportional to the gradient
    Trainer trainer(model, *ops, o, false);
    SequenceBatch batch;
    SequenceGroup g;
    g.prefix = random_tokens(1, 37, 101);
    for (uint64_t i = 0; i < 3; ++i) g.branches.push_back(random_tokens(10 + i, 30, 101));
    if (shared) {
      batch.add(g, 0, 3);
    } else {
      for (size_t i = 0; i < 3; ++i) batch.add(g, i, i + 1);
    }
    std::vector<float> d(batch.targets().size());
    for (size_t i = 0; i < d.size(); ++i) d[i] = static_cast<float>(i % 5) - 2.0f;
    const std::vector<float> before = model.download_masters();
    trainer.accumulate(batch, {}, d);
    trainer.apply(1e3);
    const std::vector<float> after = model.download_masters();
    std::vector<double> moved;
    for (size_t i = 0; i < before.size(); ++i) {
      moved.push_back(static_cast<double>(after[i]) - static_cast<double>(before[i]));
    }
    return moved;
  };
  for (const ModelConfig& config : models()) {
    const auto a = update(config, true), b = update(config, false);
    double difference = 0, size = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      difference = std::max(difference, std::abs(a[i] - b[i]));
      size = std::max(size, std::abs(b[i]));
    }
    EXPECT_GT(size, 1e-3);
    EXPECT_LT(difference / size, 1e-4) << config.architecture;  // float32 sums in another order
  }
}

}  // namespace
}  // namespace r1
