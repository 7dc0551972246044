#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "model/token_scores.h"

namespace r1 {

Trainer::Trainer(Model& model, Ops& ops, const OptimizerOptions& options,
                 bool gradient_checkpointing)
    : model_(model),
      ops_(ops),
      options_(options),
      activations_(gradient_checkpointing ? Activations::Keep::kBlockInputs
                                          : Activations::Keep::kAll),
      gradients_(model),
      m_(model.masters().size_bytes()),
      v_(model.masters().size_bytes()) {}

TrainerMemory Trainer::memory() const {
  return {.gradients = gradients_.bytes(),
          .moments = m_.bytes() + v_.bytes(),
          .activations = activations_.bytes() + scoring_.bytes(),
          .keys_values = kv_.bytes(),
          .hidden = hidden_.bytes() + dhidden_.bytes()};
}

void Trainer::reserve_pages(int64_t pages) {
  if (kv_.pages() >= pages) return;
  kv_ = KvCache();
  kv_ = KvCache(model_.config(), model_.config().num_hidden_layers, pages);
}

Tensor Trainer::hidden_for(const SequenceBatch& batch) {
  const int64_t rows = static_cast<int64_t>(batch.targets().size());
  const int64_t width = model_.config().hidden_size;
  const size_t bytes = static_cast<size_t>(rows * width) * sizeof(float);
  if (hidden_.bytes() < bytes) {
    hidden_ = Buffer(bytes);
    dhidden_ = Buffer(bytes);
  }
  return {hidden_.floats(), rows, width};
}

TokenScores Trainer::score(const SequenceBatch& batch, const SamplingParams& sampling) {
  TokenScores scores;
  scores.logprob.resize(batch.targets().size());
  scores.entropy.resize(batch.targets().size());
  if (batch.rows() == 0) return scores;
  reserve_pages(batch.pages());
  const Tensor hidden = hidden_for(batch);
  forward(model_, batch.batch(), kv_, ops_, scoring_, hidden);
  score_tokens(model_, hidden, batch.targets(), sampling, ops_, scores.logprob.data(),
               scores.entropy.data());
  return scores;
}

TokenScores Trainer::accumulate(const SequenceBatch& batch, const SamplingParams& sampling,
                                std::span<const float> dlogprob) {
  R1_CHECK(dlogprob.size() == batch.targets().size());
  TokenScores scores;
  scores.logprob.resize(batch.targets().size());
  scores.entropy.resize(batch.targets().size());
  if (batch.rows() == 0) return scores;
  reserve_pages(batch.pages());
  const Tensor hidden = hidden_for(batch);
  const Tensor dhidden(dhidden_.floats(), hidden.rows, hidden.cols);
  forward(model_, batch.batch(), kv_, ops_, activations_, hidden);
  score_tokens_backward(model_, hidden, batch.targets(), sampling, dlogprob.data(), ops_,
                        scores.logprob.data(), scores.entropy.data(), dhidden, gradients_);
  backward(model_, batch.batch(), kv_, ops_, activations_, dhidden, gradients_);
  return scores;
}

// What stands in the place of untrained parameters' gradients (moe.h), which is then zero.
std::vector<std::vector<float>> Trainer::take_loads() {
  std::vector<std::vector<float>> loads;
  model_.each_parameter([&](const ParameterSpec& spec, int64_t offset) {
    if (spec.trained) return;
    const auto rows =
        gradients_.all().subspan(static_cast<size_t>(offset), static_cast<size_t>(spec.size()));
    loads.emplace_back(rows.begin(), rows.end());
    std::fill(rows.begin(), rows.end(), 0.0f);
  });
  return loads;
}

// Auxiliary-loss-free balancing: an expert with more rows than the mean is made less likely, one
// with fewer more likely.
void Trainer::balance_experts(const std::vector<std::vector<float>>& loads) {
  const auto speed = static_cast<float>(options_.bias_update_speed);
  auto load = loads.begin();
  model_.each_parameter([&](const ParameterSpec& spec, int64_t offset) {
    if (spec.trained) return;
    double total = 0;
    for (const float rows : *load) total += static_cast<double>(rows);
    const double mean = total / static_cast<double>(load->size());
    for (size_t e = 0; e < load->size(); ++e) {
      const double rows = static_cast<double>((*load)[e]);
      float& bias = model_.masters()[static_cast<size_t>(offset) + e];
      if (rows != mean) bias += rows > mean ? -speed : speed;
    }
    ++load;
  });
}

double Trainer::apply(double learning_rate) {
  const auto loads = take_loads();
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
  model_.each_parameter([&](const ParameterSpec& spec, int64_t offset) {
    if (!spec.trained) return;
    hyper.weight_decay = spec.vector ? 0.0f : static_cast<float>(options_.weight_decay);
    const size_t begin = static_cast<size_t>(offset), size = static_cast<size_t>(spec.size());
    ops_.adamw(hyper, model_.masters().subspan(begin, size), gradients_.all().subspan(begin, size),
               moment1().subspan(begin, size), moment2().subspan(begin, size));
  });
  balance_experts(loads);
  gradients_.clear();
  model_.repack(ops_);
  return norm;
}

}  // namespace r1
