#include "train/supervised.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/backend.h"
#include "train/testing.h"

namespace r1 {
namespace {

// Examples of many shapes: with and without a shared prefix, masked, longer than a micro-batch.
SequenceGroup example(int64_t index) {
  const uint64_t i = static_cast<uint64_t>(index);
  SequenceGroup g;
  if (i % 3 != 0) g.prefix = random_ids(1000 + i, 3 + 7 * static_cast<int64_t>(i % 4));
  for (uint64_t b = 0; b < 1 + i % 3; ++b) {
    g.branches.push_back(random_ids(10 * i + b, 2 + static_cast<int64_t>((5 * i + 11 * b) % 30)));
  }
  if (i % 4 == 1) {
    for (const auto& branch : g.branches) {
      g.masks.emplace_back(branch.size(), uint8_t{1});
      g.masks.back()[0] = 0;
    }
  }
  return g;
}

int64_t tokens_of(const SequenceGroup& g) {
  int64_t count = static_cast<int64_t>(g.prefix.size());
  for (const auto& branch : g.branches) count += static_cast<int64_t>(branch.size());
  return count;
}

SupervisedOptions small_updates() {
  SupervisedOptions o;
  o.max_steps = 20;
  o.batch_tokens = 200;
  o.micro_batch_tokens = 64;
  o.learning_rate = 1e-2;
  o.schedule.lr_scheduler_type = "constant";
  return o;
}

struct Outcome {
  std::vector<SupervisedStep> steps;
  std::vector<float> before, weights;
};

Outcome train(int threads, bool gradient_checkpointing, const SupervisedOptions& options,
              const OptimizerOptions& optimizer, int64_t steps,
              const std::string& architecture = "Qwen3ForCausalLM") {
  ThreadPool pool(threads);
  const auto ops = make_ops(pool);
  Model model = tiny_model(*ops, tiny_config(64, architecture));
  Outcome out;
  out.before = model.download_masters();
  Trainer trainer(model, *ops, optimizer, gradient_checkpointing);
  Supervised supervised(trainer, example, options);
  for (int64_t s = 0; s < steps; ++s) out.steps.push_back(supervised.step(s));
  out.weights = model.download_masters();
  return out;
}

TEST(Supervised, LearnsARepeatedExampleByHeart) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model model = tiny_model(*ops, tiny_config());
  Trainer trainer(model, *ops, {}, false);
  SupervisedOptions options = small_updates();
  options.batch_tokens = 1;  // one example an update
  SequenceGroup g;
  g.prefix = random_ids(1, 5);
  g.branches = {random_ids(2, 20)};
  Supervised supervised(
      trainer, [&](int64_t) { return g; }, options);
  std::vector<double> losses;
  for (int64_t s = 0; s < 60; ++s) losses.push_back(supervised.step(s).loss);
  EXPECT_GT(losses[0], 3.0);  // 4.2 = log 64 where nothing is known
  EXPECT_LT(losses[10], losses[0] - 0.5);
  EXPECT_LT(losses[59], 0.1);
}

TEST(Supervised, ReportsWhatItDid) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model model = tiny_model(*ops, tiny_config());
  Trainer trainer(model, *ops, {}, false);
  SupervisedOptions options = small_updates();
  options.schedule.lr_scheduler_type = "linear";
  options.schedule.warmup_steps = 2;
  std::vector<int64_t> asked;
  Supervised supervised(
      trainer,
      [&](int64_t i) {
        asked.push_back(i);
        return example(i);
      },
      options);
  supervised.set_next_example(30);

  // The loss from its definition: score() of each example alone, with the weights as they were.
  std::vector<double> logprob;
  int64_t tokens = 0, next = 30;
  for (; tokens < options.batch_tokens; ++next) {
    const SequenceGroup g = example(next);
    SequenceBatch batch;
    batch.add(g, 0, g.branches.size());
    for (const float l : SequenceScorer(model, *ops).score(batch, {}).logprob) logprob.push_back(l);
    tokens += tokens_of(g);
  }
  double loss = 0;
  for (const double l : logprob) loss -= l / static_cast<double>(logprob.size());

  const SupervisedStep step = supervised.step(0);
  EXPECT_EQ(step.tokens, tokens);
  EXPECT_EQ(step.targets, static_cast<int64_t>(logprob.size()));
  EXPECT_NEAR(step.loss, loss, 1e-9);
  EXPECT_EQ(step.learning_rate, 0.5e-2);
  EXPECT_GT(step.grad_norm, 0);
  EXPECT_EQ(supervised.next_example(), next);
  EXPECT_EQ(supervised.step(1).learning_rate, 1e-2);
  std::vector<int64_t> in_order;
  for (int64_t i = 30; i < supervised.next_example(); ++i) in_order.push_back(i);
  EXPECT_EQ(asked, in_order);
  EXPECT_EQ(trainer.updates(), 2);
}

// One micro-batch, several, or one an example: the same loss, and the same gradient but for the
// order of float32 sums.
TEST(Supervised, MicroBatchesDoNotChangeTheUpdate) {
  OptimizerOptions proportional;  // the step is then proportional to the gradient
  proportional.max_grad_norm = 0;
  proportional.adam_epsilon = 1e3;
  SupervisedOptions options = small_updates();
  options.learning_rate = 1e3;
  options.micro_batch_tokens = 100000;
  const Outcome whole = train(1, false, options, proportional, 1);
  double size = 0;
  for (size_t i = 0; i < whole.weights.size(); ++i) {
    size = std::max(size, std::abs(static_cast<double>(whole.weights[i] - whole.before[i])));
  }
  ASSERT_GT(size, 1e-3);
  for (const int64_t rows : {1, 50, 130}) {
    SCOPED_TRACE(rows);
    options.micro_batch_tokens = rows;
    const Outcome split = train(1, false, options, proportional, 1);
    // The same tokens have the same log-probabilities, summed in the same order.
    EXPECT_EQ(split.steps[0].loss, whole.steps[0].loss);
    EXPECT_EQ(split.steps[0].targets, whole.steps[0].targets);
    EXPECT_NEAR(split.steps[0].grad_norm / whole.steps[0].grad_norm, 1, 1e-5);
    double worst = 0;
    for (size_t i = 0; i < whole.weights.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(split.weights[i] - whole.weights[i])));
    }
    EXPECT_LT(worst / size, 1e-4);
  }
}

TEST(Supervised, TheSameBitsOnAnyNumberOfThreads) {
  for (const std::string& architecture : architecture_names()) {
    const Outcome one = train(1, false, small_updates(), {}, 4, architecture);
    ASSERT_FALSE(same_bits(one.before, one.weights));
    for (const int threads : {2, 4}) {
      const Outcome more = train(threads, false, small_updates(), {}, 4, architecture);
      EXPECT_TRUE(same_bits(one.weights, more.weights)) << architecture << " " << threads;
      for (size_t s = 0; s < one.steps.size(); ++s) {
        EXPECT_EQ(one.steps[s].loss, more.steps[s].loss);
        EXPECT_EQ(one.steps[s].grad_norm, more.steps[s].grad_norm);
      }
    }
  }
}

TEST(Supervised, GradientCheckpointingGivesTheSameBitsFromLessMemory) {
  for (const std::string& architecture : architecture_names()) {
    const Outcome all = train(2, false, small_updates(), {}, 4, architecture);
    const Outcome recomputed = train(2, true, small_updates(), {}, 4, architecture);
    EXPECT_TRUE(same_bits(all.weights, recomputed.weights)) << architecture;
    EXPECT_EQ(all.steps[3].loss, recomputed.steps[3].loss) << architecture;
  }
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  size_t bytes[2];
  for (const bool checkpointing : {false, true}) {
    ModelConfig config = tiny_config();
    config.num_hidden_layers = 8;
    Model model = tiny_model(*ops, config);
    Trainer trainer(model, *ops, {}, checkpointing);
    Supervised(trainer, example, small_updates()).step(0);
    bytes[checkpointing ? 1 : 0] = trainer.activation_bytes();
  }
  EXPECT_LT(bytes[1] * 2, bytes[0]);
}

}  // namespace
}  // namespace r1
