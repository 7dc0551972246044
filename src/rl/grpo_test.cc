#include "rl/grpo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "backend/backend.h"
#include "backend/testing.h"
#include "base/rng.h"
#include "rl/advantages.h"
#include "tasks/countdown.h"
#include "text/number_tokenizer.h"
#include "train/supervised.h"
#include "train/testing.h"

namespace r1 {
namespace {

const Tokenizer& tokenizer() {
  static const Tokenizer t = Tokenizer::parse(number_tokenizer_json(), "number tokenizer");
  return t;
}

// Two numbers up to 3: few enough that a tiny model gets some right and some wrong.
const Task& task() {
  static const auto t =
      make_task("countdown", {{"count", 2}, {"max_number", 3}, {"min_target", 1}});
  return *t;
}

ModelConfig config(const std::string& architecture = "Qwen3ForCausalLM") {
  ModelConfig c = tiny_config(tokenizer().vocab_size(), architecture);
  c.eos_token_ids = {*tokenizer().token_to_id(kEndOfText)};
  return c;
}

// Answers in the right form, with an operation by chance.
SequenceGroup guess(int64_t index) {
  Rng rng(99, static_cast<uint64_t>(index));
  const Problem problem = task().sample(rng, Split::kTrain);
  const std::vector<int64_t> numbers = countdown_problem(problem).numbers;
  const char* operations[] = {" + ", " - ", " * ", " / "};
  SequenceGroup g;
  g.prefix = tokenizer().encode(problem.prompt);
  g.branches = {tokenizer().encode("<answer>" + std::to_string(numbers[1]) +
                                   operations[rng.below(4)] + std::to_string(numbers[0]) +
                                   "</answer>")};
  g.branches[0].push_back(config().eos_token_ids[0]);
  return g;
}

// Weights that know the form of an answer.
std::vector<float> train_form(const ModelConfig& c) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model model = Model::create(c, 7, *ops, DType::kF32);
  Trainer trainer(model, *ops, {}, false);
  SupervisedOptions options;
  options.max_steps = 150;
  options.batch_tokens = 300;
  options.learning_rate = 1e-2;
  Supervised supervised(trainer, guess, options);
  for (int64_t s = 0; s < options.max_steps; ++s) supervised.step(s);
  return model.download_masters();
}

// Those that the tests start from. Trained once.
const std::vector<float>& warm_weights() {
  static const std::vector<float> weights = train_form(config());
  return weights;
}

GrpoConfig small(const std::string& loss = "dr_grpo", double beta = 0, int64_t iterations = 1) {
  GrpoConfig c;
  c.loss_type = loss;
  c.loss.beta = beta;
  c.num_iterations = iterations;
  c.prompts_per_step = 5;
  c.num_generations = 6;
  c.max_completion_length = 8;
  c.sampling.temperature = 1.1;
  c.learning_rate = 2e-3;
  c.schedule.lr_scheduler_type = "constant";
  c.micro_batch_tokens = 70;  // several micro-batches, and groups that span two
  return c;
}

EngineOptions few_sequences(int64_t sequences = 7) {
  EngineOptions o;
  o.max_sequences = sequences;
  o.max_batch_tokens = std::max<int64_t>(sequences, 12);
  o.prefill_chunk = 5;
  o.max_context = 64;
  return o;
}

// A model, its trainer, and the engine that samples from it.
struct Lab {
  Lab(const GrpoConfig& c, Ops& o, EngineOptions engine_options = few_sequences(),
      const ModelConfig& shape = config(), const std::vector<float>& weights = warm_weights())
      : ops(o),
        model(Model::create(shape, 1, ops, DType::kF32)),
        trainer(model, ops, c.optimizer, c.gradient_checkpointing),
        engine(model, ops, engine_options) {
    ops.upload(weights.data(), model.masters().data(), model.masters().size_bytes());
    model.repack(ops);
    grpo = std::make_unique<Grpo>(trainer, ops, engine, tokenizer(), task(), c, 17);
  }
  std::vector<float> weights() const { return model.download_masters(); }

  Ops& ops;
  Model model;
  Trainer trainer;
  Engine engine;
  std::unique_ptr<Grpo> grpo;
};

std::vector<double> rewards_of(const RolloutGroup& g) {
  std::vector<double> rewards;
  for (const GradedCompletion& c : g.completions) rewards.push_back(c.verdict.reward);
  return rewards;
}

bool differ(const std::vector<double>& rewards) {
  return std::any_of(rewards.begin(), rewards.end(), [&](double r) { return r != rewards[0]; });
}

TEST(Grpo, TrainsOnWhatItSampledBitForBit) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  for (const std::string& loss : loss_names()) {
    for (const double beta : {0.0, 0.04}) {
      for (const int64_t iterations : {1, 2}) {
        SCOPED_TRACE(loss + ", beta " + std::to_string(beta) + ", " + std::to_string(iterations) +
                     " iterations");
        Lab lab(small(loss, beta, iterations), *ops);
        int64_t trained = 0;
        for (int64_t s = 0; s < 2; ++s) {
          const GrpoStep step = lab.grpo->step(s);
          EXPECT_EQ(step.logprob_mismatch, 0);
          EXPECT_TRUE(std::isfinite(step.loss) && std::isfinite(step.grad_norm));
          EXPECT_EQ(step.learning_rate, 2e-3);
          trained += step.tokens_trained;
          // The ratio is 1 until a rollout's first update is made.
          if (iterations == 1) {
            EXPECT_EQ(step.clip_ratio, 0);
          }
          if (beta == 0 || (s == 0 && iterations == 1)) {
            EXPECT_EQ(step.kl, 0);  // the reference is the model itself
          } else {
            EXPECT_GT(step.kl, 0);
          }
        }
        EXPECT_GT(trained, 50);
        EXPECT_FALSE(same_bits(lab.weights(), warm_weights()));
      }
    }
  }
}

// Latent attention in either form, experts chosen by score and bias, and biases that move: what is
// sampled is what is trained on, bit for bit, on any number of threads.
TEST(Grpo, TrainsADeepseekV3BitForBit) {
  ModelConfig shape = config("DeepseekV3ForCausalLM");
  const std::vector<float> start = train_form(shape);
  for (const bool expanded : {false, true}) {
    shape.mla_expanded = expanded;
    std::vector<float> first;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const auto ops = make_ops(pool);
      GrpoConfig c = small();
      c.optimizer.bias_update_speed = 0.01;
      Lab lab(c, *ops, few_sequences(threads == 1 ? 7 : 3), shape, start);
      int64_t trained = 0;
      for (int64_t s = 0; s < 3; ++s) {
        const GrpoStep step = lab.grpo->step(s);
        EXPECT_EQ(step.logprob_mismatch, 0);
        trained += step.tokens_trained;
      }
      EXPECT_GT(trained, 0);
      EXPECT_FALSE(same_bits(lab.weights(), start));
      if (first.empty()) first = lab.weights();
      EXPECT_TRUE(same_bits(first, lab.weights())) << threads;
    }
  }
}

// Training reads the keys and values that sampling wrote and read, rounded alike.
TEST(Grpo, TrainsBitForBitWithARoundedCache) {
  std::vector<std::vector<float>> results;
  for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kI8}) {
    ModelConfig shape = config();
    shape.kv_cache_dtype = type;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const auto ops = make_ops(pool);
      Lab lab(small(), *ops, few_sequences(threads == 1 ? 7 : 3), shape);
      int64_t trained = 0;
      for (int64_t s = 0; s < 2; ++s) {
        const GrpoStep step = lab.grpo->step(s);
        EXPECT_EQ(step.logprob_mismatch, 0);
        trained += step.tokens_trained;
      }
      EXPECT_GT(trained, 0);
      if (threads == 1) results.push_back(lab.weights());
      EXPECT_TRUE(same_bits(results.back(), lab.weights())) << threads;
    }
  }
  EXPECT_FALSE(same_bits(results[0], results[1]));
  EXPECT_FALSE(same_bits(results[0], results[2]));
}

TEST(Grpo, TheSameWeightsOnAnyNumberOfThreadsAndInAnyEngine) {
  for (const std::string& loss : loss_names()) {
    std::vector<float> first;
    for (const int threads : {1, 2, 4}) {
      ThreadPool pool(threads);
      const auto ops = make_ops(pool);
      GrpoConfig c = small(loss, 0.04, 2);
      c.gradient_checkpointing = threads == 2;
      Lab lab(c, *ops, few_sequences(threads == 4 ? 30 : 7));
      for (int64_t s = 0; s < 2; ++s) EXPECT_EQ(lab.grpo->step(s).logprob_mismatch, 0);
      if (first.empty()) first = lab.weights();
      EXPECT_TRUE(same_bits(first, lab.weights())) << loss << " " << threads;
    }
    EXPECT_FALSE(same_bits(first, warm_weights())) << loss;
  }
}

// Where two policies are compared, a token may lie outside of what the other's top-p keeps.
TEST(Grpo, FiltersLeaveRatiosAndKlFinite) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  for (const char* loss : {"grpo", "gspo"}) {
    GrpoConfig c = small(loss, 0.04);
    c.sampling = {.temperature = 0.8, .top_k = 5, .top_p = 0.6, .min_p = 0.05};
    c.num_iterations = 3;
    c.learning_rate = 0.05;  // far enough for nuclei to part
    Lab lab(c, *ops);
    const GrpoStep step = lab.grpo->step(0);
    EXPECT_GT(step.tokens_trained, 0) << loss;
    EXPECT_TRUE(std::isfinite(step.loss) && std::isfinite(step.kl)) << loss;
    EXPECT_TRUE(std::isfinite(step.grad_norm) && step.grad_norm > 0) << loss;
    EXPECT_GT(step.kl, 0) << loss;
    EXPECT_EQ(step.logprob_mismatch, 0) << loss;
  }
}

// What a step does depends on the seed, the step and the weights: a resumed run goes on the same.
TEST(Grpo, AResumedRunGoesOnTheSame) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  GrpoConfig c = small("grpo", 0.04);
  Lab a(c, *ops), b(c, *ops);
  a.grpo->step(0);
  const std::vector<float> weights = a.weights();
  const std::span<const float> held = a.grpo->reference();
  const std::vector<float> reference(held.begin(), held.end());
  b.ops.upload(weights.data(), b.model.masters().data(), b.model.masters().size_bytes());
  b.model.repack(*ops);
  ops->copy(a.trainer.moment1().data(), b.trainer.moment1().data(),
            a.trainer.moment1().size_bytes());
  ops->copy(a.trainer.moment2().data(), b.trainer.moment2().data(),
            a.trainer.moment2().size_bytes());
  b.trainer.set_updates(a.trainer.updates());
  b.grpo->set_reference(reference);
  const GrpoStep x = a.grpo->step(1), y = b.grpo->step(1);
  EXPECT_EQ(x.reward, y.reward);
  EXPECT_EQ(x.kl, y.kl);
  EXPECT_TRUE(same_bits(a.weights(), b.weights()));
  EXPECT_FALSE(same_bits(a.weights(), weights));
}

TEST(Grpo, CountsWhatItSampledAndSkipsGroupsWithoutVariance) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  GrpoConfig c = small("dr_grpo", 0, 2);
  c.num_generations = 3;
  Lab lab(c, *ops);
  int64_t mixed_seen = 0, skipped_seen = 0;
  for (int64_t s = 0; s < 4; ++s) {
    const GrpoStep step = lab.grpo->step(s);
    ASSERT_EQ(step.groups.size(), 5u);
    int64_t mixed = 0, sampled = 0, trained = 0, truncated = 0, right = 0;
    std::vector<double> all;
    for (size_t g = 0; g < step.groups.size(); ++g) {
      const RolloutGroup& group = step.groups[g];
      const std::vector<double> rewards = rewards_of(group);
      ASSERT_EQ(rewards.size(), 3u);
      mixed += differ(rewards) ? 1 : 0;
      all.insert(all.end(), rewards.begin(), rewards.end());
      for (size_t i = 0; i < rewards.size(); ++i) {
        const GradedCompletion& completion = group.completions[i];
        const int64_t length = static_cast<int64_t>(completion.completion.ids.size());
        EXPECT_EQ(task().verify(group.problem, completion.text).reward, rewards[i]);
        EXPECT_DOUBLE_EQ(step.advantages[g][i], rewards[i] - mean(rewards));
        right += completion.verdict.correct ? 1 : 0;
        sampled += length;
        trained += differ(rewards) ? length : 0;
        truncated += completion.completion.reason == FinishReason::kLength ? 1 : 0;
      }
    }
    EXPECT_DOUBLE_EQ(step.mixed_groups, static_cast<double>(mixed) / 5);
    EXPECT_EQ(step.tokens_sampled, sampled);
    EXPECT_EQ(step.tokens_trained, 2 * trained);
    EXPECT_EQ(step.truncated, truncated);
    EXPECT_DOUBLE_EQ(step.completion_length, static_cast<double>(sampled) / 15);
    EXPECT_DOUBLE_EQ(step.accuracy, static_cast<double>(right) / 15);
    EXPECT_DOUBLE_EQ(step.reward, mean(all));
    EXPECT_DOUBLE_EQ(step.reward_std, deviation(all));
    mixed_seen += mixed;
    skipped_seen += 5 - mixed;
  }
  EXPECT_GT(mixed_seen, 0);
  EXPECT_GT(skipped_seen, 0);
}

TEST(Grpo, WithoutAMixedGroupNothingIsTrained) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  GrpoConfig c = small("grpo", 0.04);
  c.sampling.temperature = 0;  // a group's completions are all the same
  Lab lab(c, *ops);
  const GrpoStep step = lab.grpo->step(0);
  EXPECT_GT(step.tokens_sampled, 0);
  EXPECT_EQ(step.mixed_groups, 0);
  EXPECT_EQ(step.tokens_trained, 0);
  EXPECT_EQ(step.logprob_mismatch, 0);
  EXPECT_EQ(lab.trainer.updates(), 0);
  EXPECT_TRUE(same_bits(lab.weights(), warm_weights()));
}

// A step's update, made once more from its rollout by the definition of Dr. GRPO at ratio 1: every
// token of completion i has the derivative -A_i / (N L), those of masked completions 0.
TEST(Grpo, UpdateIsThatOfTheLossAndMasksTruncatedCompletions) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  std::vector<float> weights[2];
  for (const bool masking : {false, true}) {
    GrpoConfig c = small();
    c.max_completion_length = 6;  // of which an answer of the right form takes all
    c.sampling.temperature = 1.4;
    c.micro_batch_tokens = 100000;
    c.mask_truncated_completions = masking;
    Lab lab(c, *ops), again(c, *ops);
    const GrpoStep step = lab.grpo->step(0);
    SequenceBatch batch;
    std::vector<float> dlogprob;
    int64_t cut_off = 0;
    for (const RolloutGroup& group : step.groups) {
      const std::vector<double> rewards = rewards_of(group);
      if (!differ(rewards)) continue;
      SequenceGroup g;
      g.prefix = group.prompt;
      for (size_t i = 0; i < rewards.size(); ++i) {
        const Completion& completion = group.completions[i].completion;
        const bool truncated = completion.reason == FinishReason::kLength;
        const double derivative = 1.0 / (30 * 6) * -(rewards[i] - mean(rewards));
        cut_off += truncated ? 1 : 0;
        g.branches.push_back(completion.ids);
        dlogprob.insert(dlogprob.end(), completion.ids.size(),
                        masking && truncated ? 0.0f : static_cast<float>(derivative));
      }
      batch.add(g, 0, g.branches.size());
    }
    ASSERT_GT(cut_off, 0);
    ASSERT_LT(cut_off, static_cast<int64_t>(dlogprob.size()));
    again.trainer.accumulate(batch, c.sampling, dlogprob);
    EXPECT_EQ(again.trainer.apply(step.learning_rate), step.grad_norm);
    EXPECT_TRUE(same_bits(lab.weights(), again.weights())) << masking;
    weights[masking ? 1 : 0] = lab.weights();
  }
  EXPECT_FALSE(same_bits(weights[0], weights[1]));
}

// The ratio is to the policy that sampled: on a rollout's second update it has left 1.
TEST(Grpo, LaterUpdatesAreClippedAgainstTheSampledPolicy) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  for (const std::string& loss : loss_names()) {
    GrpoConfig c = small(loss, 0, 2);
    c.loss.epsilon = 1e-4;
    EXPECT_GT(Lab(c, *ops).grpo->step(0).clip_ratio, 0.1) << loss;
  }
}

// At ratio 1 the loss is -sum A_i |o_i| over the normalizer, which counts the completions and
// tokens of skipped groups too.
TEST(Grpo, NormalizersCountTheWholeRollout) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  for (const std::string loss : {"dr_grpo", "dapo"}) {
    GrpoConfig c = small(loss);
    c.num_generations = 3;
    c.sampling.temperature = 1.4;  // completions of many lengths
    Lab lab(c, *ops);
    double size = 0, mixed = 1;
    for (int64_t s = 0; s < 4; ++s) {
      const GrpoStep step = lab.grpo->step(s);
      double sum = 0;
      for (size_t g = 0; g < step.groups.size(); ++g) {
        for (size_t i = 0; i < step.groups[g].completions.size(); ++i) {
          const auto& ids = step.groups[g].completions[i].completion.ids;
          sum -= step.advantages[g][i] * static_cast<double>(ids.size());
        }
      }
      const double normalizer =
          loss == "dapo" ? static_cast<double>(step.tokens_sampled) : 5.0 * 3 * 8;
      EXPECT_NEAR(step.loss, sum / normalizer, 1e-12) << loss;
      size = std::max(size, std::abs(step.loss));
      mixed = std::min(mixed, step.mixed_groups);
    }
    EXPECT_GT(size, 1e-3) << loss;
    EXPECT_LT(mixed, 1) << loss;
  }
}

TEST(Grpo, ReferenceStaysUntilItIsRefreshed) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  EXPECT_TRUE(Lab(small(), *ops).grpo->reference().empty());

  Lab fixed(small("grpo", 0.04), *ops);
  for (int64_t s = 0; s < 3; ++s) fixed.grpo->step(s);
  EXPECT_TRUE(same_bits(fixed.grpo->reference(), warm_weights()));

  GrpoConfig c = small("grpo", 0.04);
  c.ref_model_sync_steps = 2;
  Lab synced(c, *ops);
  synced.grpo->step(0);
  synced.grpo->step(1);
  EXPECT_TRUE(same_bits(synced.grpo->reference(), warm_weights()));
  const std::vector<float> after_two = synced.weights();
  EXPECT_EQ(synced.grpo->step(2).kl, 0);
  EXPECT_TRUE(same_bits(synced.grpo->reference(), after_two));
}

// From guessing an operation to reading the target, on 120 rollouts.
TEST(Grpo, RaisesTheReward) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  GrpoConfig c = small("dr_grpo", 0, 1);
  c.prompts_per_step = 32;
  c.sampling.temperature = 1.0;
  Lab lab(c, *ops, few_sequences(64));
  double first = 0, last = 0;
  for (int64_t s = 0; s < 120; ++s) {
    const GrpoStep step = lab.grpo->step(s);
    EXPECT_EQ(step.logprob_mismatch, 0);
    if (s < 10) first += step.reward / 10;
    if (s >= 110) last += step.reward / 10;
  }
  EXPECT_LT(first, 0.5);  // guesses
  EXPECT_GT(last, first + 0.25);
}

// The check that all of this rests on: backends that compute the same within rounding, but not the
// same for one row as for many, are noticed.
template <class FaultyOps>
int64_t mismatches(int64_t sequences) {
  ThreadPool pool(1);
  FaultyOps ops(pool, *cpu::portable_kernels());
  Lab lab(small(), ops, few_sequences(sequences));
  const GrpoStep step = lab.grpo->step(0);
  EXPECT_GT(step.tokens_trained, 0);
  EXPECT_LE(step.logprob_mismatch, step.tokens_trained);
  return step.logprob_mismatch;
}

TEST(Grpo, APlantedFaultIsCounted) {
  EXPECT_EQ(mismatches<cpu::CpuOps>(1), 0);
  EXPECT_EQ(mismatches<cpu::CpuOps>(7), 0);
  EXPECT_GT(mismatches<SplitSumOps>(7), 0);
  EXPECT_GT(mismatches<DecodeScaleOps>(1), 0);
}

// One unit in the last place, of one element of one product, where a batch has a single row.
class OneUlpOps : public cpu::CpuOps {
 public:
  using cpu::CpuOps::CpuOps;
  void matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add,
              Tensor out) override {
    cpu::CpuOps::matmul(x, w, bias, add, out);
    if (x.rows == 1) out.row(0)[0] = std::nextafter(out.row(0)[0], INFINITY);
  }
};

TEST(Grpo, AFaultOfOneUnitInTheLastPlaceIsCounted) {
  EXPECT_GT(mismatches<OneUlpOps>(1), 0);
}

}  // namespace
}  // namespace r1
