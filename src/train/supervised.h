// Next-token training on packed examples: pretraining and SFT, which differ in their data alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "train/schedule.h"
#include "train/trainer.h"

namespace r1 {

struct SupervisedOptions {
  int64_t max_steps = 1000, batch_tokens = 4096, micro_batch_tokens = 2048;
  double learning_rate = 1e-3;
  ScheduleOptions schedule;

  template <class V>
  void visit(V& v) {
    v("max_steps", max_steps, "updates", at_least(1));
    v("batch_tokens", batch_tokens, "tokens of an update, about", at_least(1));
    v("micro_batch_tokens", micro_batch_tokens, "rows of one forward and backward pass",
      at_least(1));
    v("learning_rate", learning_rate, "peak learning rate", at_least(0));
    v("schedule", schedule, "how the learning rate moves");
  }
};

struct SupervisedStep {
  double loss = 0, grad_norm = 0, learning_rate = 0;  // loss: nats per target token
  int64_t tokens = 0, targets = 0;
  double flops = 0;
};

class Supervised {
 public:
  // Example i of the data, a pure function of i: at most the model's longest sequence.
  using Examples = std::function<SequenceGroup(int64_t index)>;

  // trainer must outlive it.
  Supervised(Trainer& trainer, Examples examples, const SupervisedOptions& options)
      : trainer_(trainer), examples_(std::move(examples)), options_(options) {}

  // Update number `step`, from 0, on the next examples: packed without padding into micro-batches,
  // the loss averaged over all of the update's target tokens.
  SupervisedStep step(int64_t step);

  // How many examples were used: for checkpoints.
  int64_t next_example() const { return next_example_; }
  void set_next_example(int64_t index) { next_example_ = index; }

 private:
  Trainer& trainer_;
  Examples examples_;
  SupervisedOptions options_;
  int64_t next_example_ = 0;
};

}  // namespace r1
