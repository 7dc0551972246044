// Group Relative Policy Optimization (DeepSeek-R1, section 2.2.1; DeepSeekMath, section 4.1):
// sample a group of completions for each prompt, reward them, and raise the log-probability of
// those that did better than their group's mean. No value network.
//
// Departures from the paper, each an option that brings it back: no KL term (beta = 0), no division
// by the group's deviation and a constant normalizer (Dr. GRPO, Liu et al., 2025), one update a
// rollout. Groups whose rewards are all equal have no advantages: they are counted and skipped
// (with beta > 0 their share of the KL term goes with them).
//
// Because the engine's log-probabilities are the trainer's bit for bit (docs/numerics.md), the
// first update of a rollout takes the sampled ones as the current policy's and needs a single
// forward pass, which recomputes them and counts the tokens where the two differ: logprob_mismatch,
// always 0.
//
// Where the loss compares two policies (beta > 0, or several updates a rollout) and sampling has
// filters (top-k, top-p, min-p), a token may lie outside of what the other policy's filters keep,
// and its ratio or its KL term would be infinite. The loss is then of the distributions before the
// filters, temperature and all else as sampled from, for the policy, the one it was sampled from
// and the reference alike. That takes two forward passes more a rollout: one for these
// log-probabilities, one that holds the sampled ones against the trainer's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/config.h"
#include "engine/engine.h"
#include "rl/loss.h"
#include "rl/reward.h"
#include "rl/rollout.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace r1 {

struct GrpoConfig {
  int64_t max_steps = 100, prompts_per_step = 16, num_generations = 16;
  int64_t max_completion_length = 448;
  SamplingParams sampling;
  RewardOptions reward;
  std::string loss_type = "dr_grpo";
  std::string scale_rewards = "none";
  LossOptions loss;
  int64_t num_iterations = 1;
  bool mask_truncated_completions = false;
  int64_t ref_model_sync_steps = 0;
  double learning_rate = 1e-4;
  ScheduleOptions schedule;
  OptimizerOptions optimizer;
  bool gradient_checkpointing = false;
  int64_t micro_batch_tokens = 2048;

  template <class V>
  void visit(V& v) {
    v("max_steps", max_steps, "rollouts", at_least(1));
    v("prompts_per_step", prompts_per_step, "prompts of a rollout", at_least(1));
    v("num_generations", num_generations, "completions of each prompt (the group)", at_least(2));
    v("max_completion_length", max_completion_length, "longest completion, in tokens", at_least(1));
    v("sampling", sampling, "the distribution completions are drawn from, and the loss is of");
    reward.visit(v);
    v("loss_type", loss_type, "the policy loss", one_of(loss_names()));
    v("scale_rewards", scale_rewards, "divide advantages by a deviation: none, group or batch",
      one_of({"none", "group", "batch"}));
    v("loss", loss, "the loss's constants");
    v("num_iterations", num_iterations, "updates on each rollout", at_least(1));
    v("mask_truncated_completions", mask_truncated_completions,
      "leave completions cut off by max_completion_length out of the loss");
    v("ref_model_sync_steps", ref_model_sync_steps,
      "steps between refreshes of the KL term's reference; 0: it stays the first model",
      at_least(0));
    v("learning_rate", learning_rate, "peak learning rate", at_least(0));
    v("schedule", schedule, "how the learning rate moves");
    v("optimizer", optimizer, "AdamW");
    v("gradient_checkpointing", gradient_checkpointing, "recompute activations to save memory");
    v("micro_batch_tokens", micro_batch_tokens, "rows of one forward and backward pass",
      at_least(1));
  }
};

// One rollout and what came of it.
struct GrpoStep {
  std::vector<RolloutGroup> groups;
  std::vector<std::vector<double>> advantages;          // [group][completion]
  std::vector<std::pair<std::string, double>> rewards;  // each one's mean, by name
  double reward = 0, reward_std = 0, accuracy = 0, completion_length = 0;
  double entropy = 0, kl = 0, loss = 0, grad_norm = 0, clip_ratio = 0, learning_rate = 0;
  double mixed_groups = 0;  // share of groups that had both better and worse completions
  int64_t logprob_mismatch =
      0;  // trained tokens whose sampled log-probability is not the trainer's
  int64_t tokens_sampled = 0, tokens_trained = 0, prompt_tokens = 0;
  double flops = 0;  // of sampling, scoring and training
  int64_t unparseable = 0, truncated = 0;
};

class Grpo {
 public:
  // All references must outlive it. It stays where it is: what it holds refers to itself.
  Grpo(Trainer& trainer, Ops& ops, Engine& engine, const Tokenizer& tokenizer, const Task& task,
       const GrpoConfig& config, uint64_t seed);
  Grpo(const Grpo&) = delete;
  Grpo& operator=(const Grpo&) = delete;

  // How problems are put to the model (rl/rollout.h). At first: prompts as they are.
  void set_prompts(PromptFunction prompts) { prompts_ = std::move(prompts); }

  // Rollout and update number `step`, from 0. What it samples depends on the seed, the step and the
  // weights alone. `progress` as in sample_rollouts.
  GrpoStep step(int64_t step, const std::function<void(int64_t done)>& progress = {});

  // The KL term's reference, for checkpoints; empty where there is none.
  std::span<const float> reference();
  void set_reference(std::span<const float> masters);

 private:
  struct Tokens;
  void update(GrpoStep& out, Tokens& tokens);
  static std::vector<float> score(const Tokens& tokens, const SamplingParams& sampling,
                                  SequenceScorer& scorer);
  double flops() const;
  void refresh_reference();

  Trainer& trainer_;
  Ops& ops_;
  Engine& engine_;
  const Tokenizer& tokenizer_;
  const Task& task_;
  GrpoConfig config_;
  Rewards rewards_;
  uint64_t seed_;
  PromptFunction prompts_;
  SequenceScorer policy_scorer_;
  std::optional<Model> reference_;
  std::optional<HostView> reference_view_;  // what reference() returned
  std::optional<SequenceScorer> reference_scorer_;
};

}  // namespace r1
