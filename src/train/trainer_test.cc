#include "train/trainer.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
#include "train/testing.h"

namespace r1 {
namespace {

// Where the first correction bias of a model lies among its masters.
int64_t correction_bias(const Model& model) {
  for (const ParameterSet::Row& row : model.parameters()) {
    if (!row.spec.trained) return row.offset;
  }
  return -1;
}

// One expert that every row goes to and one that none does: the one's bias falls, the other's
// rises, by the update's speed, and neither has a gradient.
TEST(Trainer, BalancesExpertsByTheirBias) {
  ThreadPool pool(2);
  const auto ops = make_ops(pool);
  for (const double speed : {0.0, 0.125}) {
    Model model = tiny_model(*ops, tiny_config(64, "DeepseekV3ForCausalLM"));
    const int64_t at = correction_bias(model);
    ASSERT_GE(at, 0);
    const auto first = static_cast<size_t>(at);
    change_masters(model, *ops, [&](std::span<float> masters) {
      masters[first] = 10;
      masters[first + 1] = -10;
    });
    OptimizerOptions options;
    options.bias_update_speed = speed;
    options.weight_decay = 0.5;
    Trainer trainer(model, *ops, options, false);
    for (int step = 1; step <= 2; ++step) {
      SequenceBatch batch;
      SequenceGroup group;
      group.branches = {random_ids(1, 40), random_ids(2, 30)};
      batch.add(group, 0, 2);
      trainer.accumulate(batch, {}, std::vector<float>(batch.targets().size(), -0.01f));
      const double norm = trainer.apply(1e-2);
      EXPECT_LT(norm, 10);  // loads of experts are no gradients
      const std::vector<float> masters = model.download_masters();
      EXPECT_EQ(masters[first], static_cast<float>(10 - step * speed));
      EXPECT_EQ(masters[first + 1], static_cast<float>(-10 + step * speed));
    }
  }
}

}  // namespace
}  // namespace r1
