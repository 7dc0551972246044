// The same models in transformers and here: logits, gradients, greedy tokens and sampling filters
// against tests/fixtures/models, which tools/make_model_fixtures.py writes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "backend/backend.h"
#include "base/files.h"
#include "base/json.h"
#include "engine/engine.h"
#include "io/safetensors.h"
#include "model/token_scores.h"
#include "train/sequence_batch.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

// Both sides compute in float32 and sum in another order, over up to 64 terms, through two layers
// and a softmax with sharp logits. Each rounding is 6e-8 relative; some tens of them in a chain
// differ by a few 1e-6 of the tensor's size (the largest seen is 4e-6, of a gradient). Small
// mistakes show: an epsilon of 1e-5 for 1e-6 is off by 1e-4, a rope_theta wrong by 2% by 1e-2.
constexpr double kTolerance = 1e-5;

const fs::path kFixtures = fs::path(R1_SOURCE_DIR) / "tests/fixtures/models";

std::vector<int32_t> ids_of(const SafeTensors& file, const char* name) {
  const TensorInfo* t = file.find(name);
  if (t == nullptr || t->dtype != DType::kI64) throw std::runtime_error(name);
  std::vector<int64_t> wide(static_cast<size_t>(t->elements()));
  std::memcpy(wide.data(), t->bytes.data(), t->bytes.size());
  return {wide.begin(), wide.end()};
}

std::vector<float> floats_of(const SafeTensors& file, const std::string& name) {
  const TensorInfo* t = file.find(name);
  if (t == nullptr) throw std::runtime_error(name);
  std::vector<float> values(static_cast<size_t>(t->elements()));
  copy_to_f32(*t, values.data());
  return values;
}

// The largest difference as a share of the largest value.
double difference(std::span<const float> got, std::span<const float> expected) {
  if (got.size() != expected.size()) return INFINITY;
  double worst = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double a = static_cast<double>(got[i]), b = static_cast<double>(expected[i]);
    if (!std::isfinite(a)) return INFINITY;
    worst = std::max(worst, std::abs(a - b));
    size = std::max(size, std::abs(b));
  }
  return size > 0 ? worst / size : worst;  // an expert that no row went to has no gradient
}

struct Case {
  std::string isa, model;
  bool expanded = false;  // which form of multi-head latent attention
};

Model load(const fs::path& folder, Ops& ops, bool expanded) {
  ModelConfig config = read_model_config(folder);
  config.mla_expanded = expanded;
  return Model::load(config, std::make_shared<SafeTensors>(SafeTensors::open(folder)), ops,
                     DType::kF32, Model::Use::kTraining);
}

class Transformers : public testing::TestWithParam<Case> {
 protected:
  ThreadPool pool_{2};
  std::unique_ptr<Ops> ops_ = make_ops(pool_, GetParam().isa);
  const fs::path folder_ = kFixtures / GetParam().model;
  Model model_ = load(folder_, *ops_, GetParam().expanded);
  const SafeTensors golden_ = SafeTensors::open(folder_ / "golden.safetensors");
};

TEST_P(Transformers, Logits) {
  const ModelConfig& c = model_.config();
  const std::vector<int32_t> tokens = ids_of(golden_, "tokens");
  const int64_t rows = static_cast<int64_t>(tokens.size());
  std::vector<int32_t> pages;
  Batch batch;
  for (int64_t i = 0; i < rows; ++i) batch.outputs.push_back(static_cast<int32_t>(i));
  for (int32_t i = 0; i < pages_for(rows); ++i) pages.push_back(i);
  batch.add(tokens, 0, pages.data(), 0);
  KvCache kv(c, c.num_hidden_layers, pages_for(rows));
  Activations memory(Activations::Keep::kNothing);
  Buffer hidden = Buffer::of_floats(rows * c.hidden_size);
  const Tensor h(hidden.floats(), rows, c.hidden_size);
  forward(model_, batch, kv, *ops_, memory, h);
  std::vector<float> logits(static_cast<size_t>(rows * c.vocab_size));
  compute_logits(model_, h, *ops_, {logits.data(), rows, c.vocab_size});
  const double worst = difference(logits, floats_of(golden_, "logits"));
  EXPECT_LT(worst, kTolerance);
  RecordProperty("difference", std::to_string(worst));
}

TEST_P(Transformers, GradientsOfEveryParameter) {
  const ModelConfig& c = model_.config();
  const std::vector<int32_t> tokens = ids_of(golden_, "tokens");
  SequenceBatch batch;
  SequenceGroup group;
  group.branches.push_back(tokens);
  batch.add(group, 0, 1);
  const int64_t targets = static_cast<int64_t>(tokens.size()) - 1;
  ASSERT_EQ(batch.targets().size(), static_cast<size_t>(targets));
  for (const auto keep : {Activations::Keep::kAll, Activations::Keep::kBlockInputs}) {
    KvCache kv(c, c.num_hidden_layers, batch.pages());
    Activations memory(keep);
    Gradients gradients(model_, *ops_);
    Buffer hidden = Buffer::of_floats(targets * c.hidden_size);
    Buffer dhidden = Buffer::of_floats(targets * c.hidden_size);
    const Tensor h(hidden.floats(), targets, c.hidden_size);
    const Tensor dh(dhidden.floats(), targets, c.hidden_size);
    std::vector<float> logprob(static_cast<size_t>(targets));
    const std::vector<float> dlogprob(logprob.size(), -1.0f / static_cast<float>(targets));
    forward(model_, batch.batch(), kv, *ops_, memory, h);
    score_tokens_backward(model_, h, batch.targets(), {}, dlogprob.data(), *ops_, logprob.data(),
                          nullptr, dh, gradients);
    backward(model_, batch.batch(), kv, *ops_, memory, dh, gradients, nullptr);
    size_t compared = 0;
    for (const ParameterSet::Row& row : model_.parameters()) {
      if (row.trained < 0) continue;
      const float* value = gradients.all().data() + row.trained;
      for (const auto& part : row.spec.parts) {
        const size_t size = static_cast<size_t>(part.rows * row.spec.cols);
        const double worst = difference({value, size}, floats_of(golden_, "grad." + part.name));
        EXPECT_LT(worst, kTolerance) << part.name;
        value += size;
        ++compared;
      }
    }
    EXPECT_EQ(compared + 3, golden_.tensors().size());  // tokens, logits, greedy
  }
}

TEST_P(Transformers, GreedyTokens) {
  const std::vector<int32_t> expected = ids_of(golden_, "greedy");
  Request request;
  request.prompt.assign(expected.begin(), expected.begin() + 20);
  request.max_new_tokens = static_cast<int64_t>(expected.size()) - 20;
  request.sampling.temperature = 0.0;
  Engine engine(model_, *ops_, {});
  EXPECT_EQ(engine.generate({&request, 1})[0][0].ids,
            std::vector<int32_t>(expected.begin() + 20, expected.end()));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const BackendChoice& b : available_backends()) {
    const std::string isa = b.backend == "ref" ? "ref" : b.isa;
    for (const char* model : {"llama", "llama3", "qwen2", "qwen2_yarn", "qwen3", "qwen3_moe"}) {
      all.push_back({isa, model});
    }
    for (const char* model : {"deepseek_v2", "deepseek_v2_groups", "deepseek_v3"}) {
      all.push_back({isa, model});
      all.push_back({isa, model, true});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Transformers, testing::ValuesIn(cases()), [](const auto& info_of) {
  const Case& c = info_of.param;
  return c.isa + "_" + c.model + (c.expanded ? "_expanded" : "");
});

TEST(TransformersSampling, FiltersKeepTheSameTokens) {
  const fs::path path = kFixtures / "sampling.json";
  const Json all = parse_json(read_file(path), path.string());
  ThreadPool pool(2);
  const auto ops = make_ops(pool);
  ASSERT_EQ(all.size(), 60u);
  for (const Json& c : all) {
    const SamplingParams params{c["temperature"], c["top_k"], c["top_p"], c["min_p"]};
    params.check();
    std::vector<float> row = c["logits"].get<std::vector<float>>();
    const LogitShape shape = params.shape();
    ops->shape_logits({row.data(), 1, static_cast<int64_t>(row.size())}, {&shape, 1});
    std::vector<int> kept;
    for (size_t i = 0; i < row.size(); ++i) {
      if (std::isfinite(row[i])) kept.push_back(static_cast<int>(i));
    }
    EXPECT_EQ(kept, c["kept"].get<std::vector<int>>())
        << params.temperature << " " << params.top_k << " " << params.top_p << " " << params.min_p;
  }
}

}  // namespace
}  // namespace r1
