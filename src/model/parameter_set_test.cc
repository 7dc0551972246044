#include "model/parameter_set.h"

#include <gtest/gtest.h>

#include <set>

#include "backend/backend.h"
#include "model/model.h"
#include "model/testing.h"

namespace r1 {
namespace {

// A row for each parameter of the table, in order, none over another, each on a line of its own.
TEST(ParameterSet, RowsAreTheTablesAndApart) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  for (const std::string& architecture : architecture_names()) {
    SCOPED_TRACE(architecture);
    const ModelConfig config = any_config(architecture, {});
    const Model model = Model::create(config, 1, *ops, DType::kF32);
    const ParameterSet& set = model.parameters();
    int64_t next = 0, next_trained = 0, frozen = 0;
    size_t i = 0;
    for (const ParameterSpec& spec : parameter_specs(config)) {
      const ParameterSet::Row& row = set[i++];
      EXPECT_EQ(row.spec.name, spec.name);
      EXPECT_GE(row.offset, next);
      EXPECT_EQ(row.offset % 16, 0);
      EXPECT_EQ(&set.holding(row.offset), &row);
      EXPECT_EQ(&set.holding(row.offset + spec.size() - 1), &row);
      next = row.offset + spec.size();
      EXPECT_EQ(row.trained >= 0, spec.trained);
      if (row.trained < 0) {
        frozen += spec.size();
        continue;
      }
      EXPECT_GE(row.trained, next_trained);
      next_trained = row.trained + spec.size();
    }
    EXPECT_EQ(frozen > 0, config.sigmoid_routing());
    EXPECT_GE(set.held_floats(), next);
    EXPECT_GE(set.trained_floats(), next_trained);
    EXPECT_EQ(set.trained_floats() < set.held_floats(), frozen > 0);
    EXPECT_EQ(model.clone(*ops, Model::Use::kScoring).parameters().trained_floats(), 0);
  }
}

// Gradients lie where `trained` says, whatever frozen parameters stand between.
TEST(ParameterSet, GradientsOfViewsOfTheMasters) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model model = Model::create(any_config("DeepseekV3ForCausalLM", {}), 1, *ops, DType::kF32);
  Gradients gradients(model, *ops);
  EXPECT_EQ(gradients.bytes(),
            sizeof(float) * static_cast<size_t>(model.parameters().trained_floats()));
  for (const ParameterSet::Row& row : model.parameters()) {
    if (row.trained < 0) continue;
    const float* master = model.masters().data() + row.offset;
    EXPECT_EQ(gradients.of(master), gradients.all().data() + row.trained);
    const int64_t last = row.spec.size() - 1;
    EXPECT_EQ(gradients.of(master + last), gradients.all().data() + row.trained + last);
  }
}

}  // namespace
}  // namespace r1
