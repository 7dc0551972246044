// Gradients by micro-batches and the AdamW step: what pretraining, SFT and RL have in common. A
// loss reaches it as the derivative with respect to each token's log-probability.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/sampling.h"
#include "train/sequence_scorer.h"

namespace r1 {

struct OptimizerOptions {
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.95;
  double adam_epsilon = 1e-8;
  double weight_decay = 0.0;
  double max_grad_norm = 1.0;
  double bias_update_speed = 0.0;

  template <class V>
  void visit(V& v) {
    v("adam_beta1", adam_beta1, "AdamW: decay of the gradient's mean");
    v("adam_beta2", adam_beta2, "AdamW: decay of the gradient's square");
    v("adam_epsilon", adam_epsilon, "AdamW: added to the square's root");
    v("weight_decay", weight_decay, "AdamW: decay of matrices, decoupled from the gradient");
    v("max_grad_norm", max_grad_norm, "clip the gradient to this norm; 0 never clips");
    v("bias_update_speed", bias_update_speed,
      "move a router's correction bias by this against an expert's overload (DeepSeek-V3, section "
      "2.1.2); 0 leaves it");
  }
};

// Bytes that a trainer holds beside the model's.
struct TrainerMemory {
  size_t gradients, moments, activations, keys_values, hidden;
};

class Trainer {
 public:
  // model must be of Use::kTraining and outlive the trainer, as must ops.
  Trainer(Model& model, Ops& ops, const OptimizerOptions& options, bool gradient_checkpointing);

  // Forward and backward of one micro-batch. dlogprob is the loss's derivative for each target;
  // gradients add up until apply().
  TokenScores accumulate(const SequenceBatch& batch, const SamplingParams& sampling,
                         std::span<const float> dlogprob);

  // Clips, takes one AdamW step, repacks the weights and clears the gradients. Returns the
  // gradient's norm before clipping. JobError if it is not finite; the weights are then unchanged.
  double apply(double learning_rate);

  Model& model() { return model_; }
  Ops& ops() { return ops_; }
  int64_t updates() const { return updates_; }
  // First and second moments, in the memory of ops(), where ParameterSet::Row::trained says: for
  // checkpoints.
  std::span<float> moment1() { return {m_.floats(), m_.bytes() / sizeof(float)}; }
  std::span<float> moment2() { return {v_.floats(), v_.bytes() / sizeof(float)}; }
  void set_updates(int64_t n) { updates_ = n; }
  // Of all passes so far: forward, backward at twice that, and what backward computed once more.
  double flops() const { return flops_; }
  size_t activation_bytes() const { return activations_.high_water_bytes(); }
  TrainerMemory memory() const;

 private:
  void balance_experts();

  Model& model_;
  Ops& ops_;
  OptimizerOptions options_;
  Activations activations_;
  BatchMemory memory_;
  Gradients gradients_;
  ExpertLoads loads_;
  Buffer m_, v_, dhidden_;
  int64_t updates_ = 0;
  double flops_ = 0;
};

}  // namespace r1
