// The forward and backward pass as one function: what it keeps and how a sequence is cut never
// shows, and its gradients are the loss's.
#include "model/decoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/rng.h"
#include "model/testing.h"

namespace r1 {
namespace {

constexpr int64_t kRows = 21, kPages = 2;

ModelConfig config_of(const std::string& architecture, bool expanded = false) {
  ModelConfig c = any_config(architecture, {{"hidden_size", 24},
                                            {"num_attention_heads", 4},
                                            {"head_dim", 8},
                                            {"intermediate_size", 36},
                                            {"vocab_size", 31},
                                            {"tie_word_embeddings", false}});
  c.mla_expanded = expanded;
  return c;
}

class Decoder : public testing::Test {
 protected:
  // Every value random, norms and biases too.
  Model random_model(const ModelConfig& config) {
    Model m = Model::create(config, 5, *ops_, DType::kF32);
    Rng rng(6);
    change_masters(m, *ops_, [&](std::span<float> masters) {
      for (float& w : masters) w += static_cast<float>(0.2 * rng.normal());
    });
    return m;
  }

  static Batch batch_of(int64_t first, int64_t count) {
    static constexpr int32_t kTable[] = {1, 0};
    std::vector<int32_t> ids;
    for (int64_t i = first; i < first + count; ++i) {
      ids.push_back(static_cast<int32_t>((i * i + 5 * i) % 31));
    }
    Batch batch;
    batch.add(ids, first, kTable, 0);
    for (int32_t i = 0; i < count; ++i) batch.outputs.push_back(i);
    return batch;
  }

  KvCache cache(const Model& m) {
    return KvCache(m.config(), m.config().num_hidden_layers, kPages, ops_->memory());
  }

  // Hidden states of the sequence, `step` rows at a time.
  std::vector<float> hidden_of(const Model& m, Activations::Keep keep, int64_t step = kRows) {
    const int64_t width = m.config().hidden_size;
    KvCache kv = cache(m);
    Activations memory(keep, ops_->memory());
    Buffer hidden = Buffer::of_floats(kRows * width, ops_->memory());
    for (int64_t first = 0; first < kRows; first += step) {
      const int64_t count = std::min(step, kRows - first);
      const Batch batch = batch_of(first, count);
      forward(m, batch, kv, *ops_, memory, {hidden.floats() + first * width, count, width});
    }
    return downloaded(*ops_, {hidden.floats(), static_cast<size_t>(kRows * width)});
  }

  // The gradient of the sum of hidden states times dhidden.
  std::vector<float> gradient_of(const Model& m, Activations::Keep keep,
                                 const std::vector<float>& dhidden) {
    const int64_t width = m.config().hidden_size;
    KvCache kv = cache(m);
    Activations memory(keep, ops_->memory());
    Gradients gradients(m, *ops_);
    Buffer hidden = Buffer::of_floats(kRows * width, ops_->memory());
    const Tensor rows(hidden.floats(), kRows, width);
    const Batch batch = batch_of(0, kRows);
    forward(m, batch, kv, *ops_, memory, rows);
    ops_->upload(dhidden.data(), rows.data, dhidden.size() * sizeof(float));
    backward(m, batch, kv, *ops_, memory, rows, gradients, nullptr);
    return downloaded(*ops_, gradients.all());
  }

  std::vector<float> any_dhidden(const Model& m) {
    Rng rng(7);
    std::vector<float> d(static_cast<size_t>(kRows * m.config().hidden_size));
    for (float& x : d) x = static_cast<float>(rng.normal());
    return d;
  }

  // Every architecture; those with latent attention in both forms.
  template <class F>
  void each_config(F&& f) {
    for (const std::string& architecture : architecture_names()) {
      for (const bool expanded : {false, true}) {
        const ModelConfig config = config_of(architecture, expanded);
        if (expanded && !config.mla()) continue;
        SCOPED_TRACE(architecture + (expanded ? ", expanded" : ""));
        f(config);
      }
    }
  }

  ThreadPool pool_{2};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
};

TEST_F(Decoder, WhatIsKeptNeverShows) {
  using Keep = Activations::Keep;
  each_config([&](const ModelConfig& config) {
    const Model m = random_model(config);
    const std::vector<float> hidden = hidden_of(m, Keep::kNothing), d = any_dhidden(m);
    EXPECT_EQ(hidden_of(m, Keep::kAll), hidden);
    EXPECT_EQ(hidden_of(m, Keep::kBlockInputs), hidden);
    EXPECT_EQ(gradient_of(m, Keep::kBlockInputs, d), gradient_of(m, Keep::kAll, d));
  });
}

TEST_F(Decoder, HowASequenceIsCutNeverShows) {
  each_config([&](const ModelConfig& config) {
    const Model m = random_model(config);
    const std::vector<float> whole = hidden_of(m, Activations::Keep::kNothing);
    for (const int64_t step : {1, 5, 16}) {
      EXPECT_EQ(hidden_of(m, Activations::Keep::kNothing, step), whole) << step;
    }
  });
}

// Along each parameter's own gradient the loss grows by the gradient's size: central differences,
// in float32.
TEST_F(Decoder, GradientsAreTheLosss) {
  constexpr double kStep = 1e-3;
  each_config([&](const ModelConfig& config) {
    Model m = random_model(config);
    const std::vector<float> d = any_dhidden(m);
    const std::vector<float> gradient = gradient_of(m, Activations::Keep::kAll, d);
    const auto loss_at = [&](const ParameterSet::Row& row, double step) {
      const std::vector<float> before = downloaded(*ops_, m.masters());
      change_masters(m, *ops_, [&](std::span<float> masters) {
        for (int64_t i = 0; i < row.spec.size(); ++i) {
          const double g = static_cast<double>(gradient[static_cast<size_t>(row.trained + i)]);
          masters[static_cast<size_t>(row.offset + i)] += static_cast<float>(step * g);
        }
      });
      const std::vector<float> hidden = hidden_of(m, Activations::Keep::kNothing);
      double loss = 0;
      for (size_t i = 0; i < hidden.size(); ++i) {
        loss += static_cast<double>(hidden[i]) * static_cast<double>(d[i]);
      }
      change_masters(m, *ops_, [&](std::span<float> masters) {
        std::copy(before.begin(), before.end(), masters.begin());
      });
      return loss;
    };
    for (const ParameterSet::Row& row : m.parameters()) {
      if (row.trained < 0) continue;
      double squares = 0;
      for (int64_t i = 0; i < row.spec.size(); ++i) {
        const double g = static_cast<double>(gradient[static_cast<size_t>(row.trained + i)]);
        squares += g * g;
      }
      if (squares == 0) continue;  // the head's product is not the decoder's; an idle expert
      const double size = std::sqrt(squares), step = kStep / size;
      const double slope = (loss_at(row, step) - loss_at(row, -step)) / (2 * kStep);
      EXPECT_NEAR(slope / size, 1, 0.03) << row.spec.name << " " << size;
    }
  });
}

}  // namespace
}  // namespace r1
