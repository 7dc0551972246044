#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <variant>

#include "base/error.h"
#include "model/token_scores.h"

namespace r1 {

Trainer::Trainer(Model& model, Ops& ops, const OptimizerOptions& options,
                 bool gradient_checkpointing)
    : model_(model),
      ops_(ops),
      options_(options),
      activations_(
          gradient_checkpointing ? Activations::Keep::kBlockInputs : Activations::Keep::kAll,
          ops.memory()),
      gradients_(model, ops),
      loads_(std::ssize(model.blocks()), model.config().routed_experts, ops),
      m_(gradients_.bytes(), ops.memory()),
      v_(gradients_.bytes(), ops.memory()) {}

TrainerMemory Trainer::memory() const {
  return {.gradients = gradients_.bytes(),
          .moments = m_.bytes() + v_.bytes(),
          .activations = activations_.bytes(),
          .keys_values = memory_.kv_bytes(),
          .hidden = memory_.hidden_bytes() + dhidden_.bytes()};
}

TokenScores Trainer::accumulate(const SequenceBatch& batch, const SamplingParams& sampling,
                                std::span<const float> dlogprob) {
  R1_CHECK(dlogprob.size() == batch.targets().size());
  TokenScores scores;
  scores.logprob.resize(batch.targets().size());
  scores.entropy.resize(batch.targets().size());
  if (batch.rows() == 0) return scores;
  const Tensor hidden = memory_.hidden_for(batch, model_, ops_);
  if (dhidden_.bytes() < memory_.hidden_bytes()) {
    dhidden_ = Buffer(memory_.hidden_bytes(), ops_.memory());
  }
  const Tensor dhidden(dhidden_.floats(), hidden.rows, hidden.cols);
  forward(model_, batch.batch(), memory_.kv(), ops_, activations_, hidden);
  score_tokens_backward(model_, hidden, batch.targets(), sampling, dlogprob.data(), ops_,
                        scores.logprob.data(), scores.entropy.data(), dhidden, gradients_);
  backward(model_, batch.batch(), memory_.kv(), ops_, activations_, dhidden, gradients_, &loads_);
  const bool recomputes = activations_.keep() == Activations::Keep::kBlockInputs;
  flops_ += (recomputes ? 4 : 3) * forward_flops(model_.config(), batch.batch());
  return scores;
}

// Auxiliary-loss-free balancing: an expert with more rows than the mean is made less likely, one
// with fewer more likely.
void Trainer::balance_experts() {
  const auto speed = static_cast<float>(options_.bias_update_speed);
  for (size_t layer = 0; layer < model_.blocks().size(); ++layer) {
    const auto* moe = std::get_if<Moe>(&model_.blocks()[layer].mlp);
    if (moe == nullptr || moe->correction_bias.empty()) continue;
    const std::vector<int64_t> load = loads_.take(static_cast<int64_t>(layer));
    const std::span<float> master = moe->correction_bias;
    std::vector<float> bias(master.size());
    ops_.download(master.data(), bias.data(), master.size_bytes());
    const double total = static_cast<double>(std::accumulate(load.begin(), load.end(), int64_t{0}));
    const double mean = total / static_cast<double>(load.size());
    for (size_t e = 0; e < load.size(); ++e) {
      const double rows = static_cast<double>(load[e]);
      if (rows != mean) bias[e] += rows > mean ? -speed : speed;
    }
    ops_.upload(bias.data(), master.data(), master.size_bytes());
  }
}

double Trainer::apply(double learning_rate) {
  const double norm = std::sqrt(ops_.sum_squares(gradients_.all()));
  if (!std::isfinite(norm)) {
    throw JobError("the gradient is not finite at update " + std::to_string(updates_ + 1) +
                   ": try a lower learning rate");
  }
  const bool clip = options_.max_grad_norm > 0 && norm > options_.max_grad_norm;
  ++updates_;
  const double t = static_cast<double>(updates_);
  AdamW hyper;
  hyper.learning_rate = static_cast<float>(learning_rate);
  hyper.beta1 = static_cast<float>(options_.adam_beta1);
  hyper.beta2 = static_cast<float>(options_.adam_beta2);
  hyper.epsilon = static_cast<float>(options_.adam_epsilon);
  hyper.gradient_scale = clip ? static_cast<float>(options_.max_grad_norm / norm) : 1.0f;
  hyper.bias1 = static_cast<float>(1.0 - std::pow(options_.adam_beta1, t));
  hyper.bias2 = static_cast<float>(1.0 - std::pow(options_.adam_beta2, t));
  for (const ParameterSet::Row& row : model_.parameters()) {
    if (row.trained < 0) continue;
    hyper.weight_decay = row.spec.vector ? 0.0f : static_cast<float>(options_.weight_decay);
    const size_t master = static_cast<size_t>(row.offset), at = static_cast<size_t>(row.trained);
    const size_t size = static_cast<size_t>(row.spec.size());
    ops_.adamw(hyper, model_.masters().subspan(master, size), gradients_.all().subspan(at, size),
               moment1().subspan(at, size), moment2().subspan(at, size));
  }
  balance_experts();
  gradients_.clear();
  model_.repack(ops_);
  return norm;
}

}  // namespace r1
