#include "rl/grpo.h"

#include <algorithm>

#include "base/rng.h"
#include "rl/advantages.h"

namespace r1 {

// The trained completions of a rollout: those of mixed groups, tokens concatenated in order, cut
// into micro-batches.
struct Grpo::Tokens {
  std::vector<int64_t> offsets = {0};
  std::vector<float> sampled, mask;  // log-probabilities; one mask value a completion
  std::vector<double> advantage;
  std::vector<SequenceBatch> batches;
  int64_t rollout_tokens = 0;  // unmasked tokens of all completions, skipped groups' included
};

namespace {

// A group's branches go to one micro-batch as far as they fit; each that takes some of them repeats
// the prompt.
void add_group(const SequenceGroup& group, int64_t micro_batch_tokens,
               std::vector<SequenceBatch>& batches) {
  for (size_t b = 0; b < group.branches.size();) {
    const int64_t prefix = static_cast<int64_t>(group.prefix.size());
    const bool fits = !batches.empty() && batches.back().rows() + prefix +
                                                  static_cast<int64_t>(group.branches[b].size()) <=
                                              micro_batch_tokens;
    if (!fits && (batches.empty() || batches.back().rows() > 0)) batches.emplace_back();
    int64_t rows = batches.back().rows() + prefix;
    size_t end = b;
    while (end < group.branches.size() &&
           (end == b ||
            rows + static_cast<int64_t>(group.branches[end].size()) <= micro_batch_tokens)) {
      rows += static_cast<int64_t>(group.branches[end].size());
      ++end;
    }
    batches.back().add(group, b, end);
    b = end;
  }
}

int64_t mismatches(std::span<const float> a, std::span<const float> b) {
  int64_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += a[i] != b[i] ? 1 : 0;
  return count;
}

}  // namespace

Grpo::Grpo(Trainer& trainer, Ops& ops, Engine& engine, const Tokenizer& tokenizer, const Task& task,
           const GrpoConfig& config, uint64_t seed)
    : trainer_(trainer),
      ops_(ops),
      engine_(engine),
      tokenizer_(tokenizer),
      task_(task),
      config_(config),
      rewards_(config.reward),
      seed_(seed),
      policy_scorer_(trainer.model(), ops) {
  if (config_.loss.length_normalizer == 0) {
    config_.loss.length_normalizer = config_.max_completion_length;
  }
  if (config_.loss.beta > 0) refresh_reference();
}

std::span<const float> Grpo::reference() {
  if (!reference_) return {};
  reference_view_.emplace(ops_, reference_->masters());
  return reference_view_->floats();
}

void Grpo::set_reference(std::span<const float> masters) {
  if (!reference_) refresh_reference();
  const std::span<float> held = reference_->masters();
  R1_CHECK(masters.size() == held.size());
  ops_.upload(masters.data(), held.data(), held.size_bytes());
  reference_->repack(ops_);
}

// The reference is the model as it is now.
void Grpo::refresh_reference() {
  const Model& model = trainer_.model();
  if (!reference_) {
    reference_ = model.clone(ops_, Model::Use::kScoring);
    reference_scorer_.emplace(*reference_, ops_);
    return;
  }
  ops_.copy(model.masters().data(), reference_->masters().data(), model.masters().size_bytes());
  reference_->repack(ops_);
}

GrpoStep Grpo::step(int64_t step, const std::function<void(int64_t done)>& progress) {
  const bool sync =
      config_.ref_model_sync_steps > 0 && step > 0 && step % config_.ref_model_sync_steps == 0;
  if (reference_ && sync) refresh_reference();

  GrpoStep out;
  const double flops_before = flops();
  out.learning_rate =
      config_.learning_rate * schedule_factor(config_.schedule, step, config_.max_steps);
  const uint64_t seed = mix_seed(seed_, static_cast<uint64_t>(step));
  Rng rng(seed);
  std::vector<Problem> problems;
  for (int64_t i = 0; i < config_.prompts_per_step; ++i) {
    problems.push_back(task_.sample(rng, Split::kTrain));
  }
  RolloutOptions options{config_.sampling, config_.num_generations, config_.max_completion_length};
  options.prompts = prompts_;
  options.votes = false;
  out.groups = sample_rollouts(engine_, tokenizer_, trainer_.model().config(), task_,
                               std::move(problems), options, seed, {progress, {}});

  std::vector<std::vector<double>> rewards;
  std::vector<double> all;
  for (const std::string& name : rewards_.names()) out.rewards.emplace_back(name, 0.0);
  for (RolloutGroup& g : out.groups) {
    rewards_.grade(g);
    rewards.emplace_back();
    out.prompt_tokens += static_cast<int64_t>(g.prompt.size());
    for (const GradedCompletion& c : g.completions) {
      rewards.back().push_back(c.reward);
      all.push_back(c.reward);
      for (size_t i = 0; i < c.rewards.size(); ++i) out.rewards[i].second += c.rewards[i];
      out.tokens_sampled += static_cast<int64_t>(c.completion.ids.size());
      out.accuracy += c.verdict.correct ? 1 : 0;
      out.unparseable += c.verdict.parsed ? 0 : 1;
      out.truncated += c.completion.reason == FinishReason::kLength ? 1 : 0;
    }
  }
  const GroupAdvantages advantages =
      group_advantages(rewards, config_.scale_rewards, config_.loss_type == "rloo");
  out.advantages = advantages.advantage;
  out.reward = mean(all);
  for (auto& [name, sum] : out.rewards) sum /= static_cast<double>(all.size());
  out.accuracy /= static_cast<double>(all.size());
  out.reward_std = deviation(all);
  out.completion_length = static_cast<double>(out.tokens_sampled) / static_cast<double>(all.size());
  out.mixed_groups =
      static_cast<double>(advantages.mixed_groups) / static_cast<double>(config_.prompts_per_step);

  Tokens tokens;
  tokens.rollout_tokens = out.tokens_sampled;
  for (size_t i = 0; i < out.groups.size(); ++i) {
    if (!advantages.mixed[i]) continue;
    SequenceGroup group;
    group.prefix = out.groups[i].prompt;
    for (size_t j = 0; j < out.groups[i].completions.size(); ++j) {
      const Completion& c = out.groups[i].completions[j].completion;
      const bool masked = config_.mask_truncated_completions && c.reason == FinishReason::kLength;
      group.branches.push_back(c.ids);
      tokens.sampled.insert(tokens.sampled.end(), c.logprobs.begin(), c.logprobs.end());
      tokens.offsets.push_back(static_cast<int64_t>(tokens.sampled.size()));
      tokens.mask.push_back(masked ? 0.0f : 1.0f);
      if (masked) tokens.rollout_tokens -= static_cast<int64_t>(c.ids.size());
      tokens.advantage.push_back(out.advantages[i][j]);
    }
    add_group(group, config_.micro_batch_tokens, tokens.batches);
  }
  out.tokens_trained = static_cast<int64_t>(tokens.sampled.size()) * config_.num_iterations;
  if (!tokens.sampled.empty()) update(out, tokens);
  out.flops = flops() - flops_before;
  return out;
}

// Of everything that belongs to it, so far.
double Grpo::flops() const {
  return engine_.stats().flops + trainer_.flops() + policy_scorer_.flops() +
         (reference_scorer_ ? reference_scorer_->flops() : 0);
}

std::vector<float> Grpo::score(const Tokens& tokens, const SamplingParams& sampling,
                               SequenceScorer& scorer) {
  std::vector<float> logprob;
  for (const SequenceBatch& batch : tokens.batches) {
    const TokenScores s = scorer.score(batch, sampling);
    logprob.insert(logprob.end(), s.logprob.begin(), s.logprob.end());
  }
  return logprob;
}

void Grpo::update(GrpoStep& out, Tokens& tokens) {
  const LossFunction loss = find_loss(config_.loss_type);
  const bool compares = reference_ || config_.num_iterations > 1;
  const SamplingParams sampling = compares ? config_.sampling.unfiltered() : config_.sampling;
  std::vector<float> old = tokens.sampled, reference;
  if (sampling != config_.sampling) {
    out.logprob_mismatch += mismatches(old, score(tokens, config_.sampling, policy_scorer_));
    old = score(tokens, sampling, policy_scorer_);
  }
  std::vector<float> current = old;
  if (reference_) reference = score(tokens, sampling, *reference_scorer_);
  LossInput in;
  in.offsets = tokens.offsets;
  in.old_logprob = old;
  in.ref_logprob = reference;
  in.mask = tokens.mask;
  in.advantage = tokens.advantage;
  in.rollout_size = config_.prompts_per_step * config_.num_generations;
  in.rollout_tokens = tokens.rollout_tokens;
  for (int64_t iteration = 0; iteration < config_.num_iterations; ++iteration) {
    if (iteration > 0) current = score(tokens, sampling, policy_scorer_);
    in.logprob = current;
    const LossOutput result = loss(in, config_.loss);
    size_t at = 0;
    double entropy = 0;
    for (const SequenceBatch& batch : tokens.batches) {
      const size_t count = batch.targets().size();
      const TokenScores s =
          trainer_.accumulate(batch, sampling, std::span(result.dlogprob).subspan(at, count));
      out.logprob_mismatch += mismatches(s.logprob, std::span(current).subspan(at, count));
      for (const float e : s.entropy) entropy += static_cast<double>(e);
      at += count;
    }
    out.grad_norm = trainer_.apply(out.learning_rate);
    out.loss = result.loss;
    out.kl = result.kl;
    out.clip_ratio = result.clip_ratio;
    out.entropy = entropy / static_cast<double>(tokens.sampled.size());
  }
}

}  // namespace r1
