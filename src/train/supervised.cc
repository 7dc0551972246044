#include "train/supervised.h"

namespace r1 {

SupervisedStep Supervised::step(int64_t step) {
  SupervisedStep out;
  out.learning_rate =
      options_.learning_rate * schedule_factor(options_.schedule, step, options_.max_steps);
  const double flops = trainer_.flops();
  std::vector<SequenceBatch> batches;
  while (out.tokens < options_.batch_tokens) {
    const SequenceGroup group = examples_(next_example_++);
    int64_t rows = static_cast<int64_t>(group.prefix.size());
    for (const auto& branch : group.branches) rows += static_cast<int64_t>(branch.size());
    if (batches.empty() || batches.back().rows() + rows > options_.micro_batch_tokens) {
      batches.emplace_back();
    }
    batches.back().add(group, 0, group.branches.size());
    out.tokens += rows;
  }
  for (const SequenceBatch& batch : batches) {
    out.targets += static_cast<int64_t>(batch.targets().size());
  }
  const std::vector<float> derivative(static_cast<size_t>(out.targets),
                                      -1.0f / static_cast<float>(out.targets));
  for (const SequenceBatch& batch : batches) {
    const TokenScores scores =
        trainer_.accumulate(batch, {}, std::span(derivative).first(batch.targets().size()));
    for (const float logprob : scores.logprob) out.loss -= static_cast<double>(logprob);
  }
  out.loss /= static_cast<double>(out.targets);
  out.grad_norm = trainer_.apply(out.learning_rate);
  out.flops = trainer_.flops() - flops;
  return out;
}

}  // namespace r1
