// What a shape is said to demand, against what is really held.
#include "bench/estimate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/backend.h"
#include "bench/memory_bench.h"
#include "bench/shapes.h"

namespace r1 {
namespace {

ModelConfig mixture() {
  return parse_model_config(parse_json(R"({"architectures": ["DeepseekV3ForCausalLM"],
      "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
      "num_key_value_heads": 4, "intermediate_size": 256, "vocab_size": 512,
      "max_position_embeddings": 512, "q_lora_rank": 64, "kv_lora_rank": 64,
      "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "n_routed_experts": 16,
      "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
      "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "topk_method": "noaux_tc",
      "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 1.0})",
                                       "mixture"),
                            "mixture");
}

TEST(Estimate, WeightsOfAFile) {
  ThreadPool pool(1);
  const std::unique_ptr<Ops> ops = make_ops(pool, "");
  const ModelConfig c = shape_config("countdown");
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    SCOPED_TRACE(dtype_name(dtype));
    const auto files = random_files(c, dtype);
    double bytes = 0;
    for (const TensorInfo& t : files->tensors()) bytes += static_cast<double>(t.bytes.size());
    EXPECT_EQ(file_bytes(c, dtype), bytes);
    const Model model = Model::load(c, files, *ops, std::nullopt, Model::Use::kInference);
    EXPECT_EQ(pass_weight_bytes(c, dtype, 1), static_cast<double>(model.token_bytes()));
  }
}

// DeepSeek-V3 technical report, section 4.2: 671B parameters, 37B of them active. R1 is of that
// shape. Published numbers count the layer of multi-token prediction apart.
TEST(Estimate, DeepSeekR1) {
  const ModelConfig c = shape_config("deepseek-r1");
  EXPECT_NEAR(static_cast<double>(c.parameters()), 671e9, 0.5e9);
  EXPECT_NEAR(static_cast<double>(c.active_parameters()), 37.5e9, 0.5e9);
  EXPECT_LT(file_bytes(c, DType::kQ4_K), 400e9);
  EXPECT_GT(file_bytes(c, DType::kQ8_0), 700e9);
  // 512 latent and 64 rotated floats a layer.
  EXPECT_EQ(kv_bytes(c, 1), 61 * 576 * 4);
}

// One row meets its own experts, so many rows that all are met read everything.
TEST(Estimate, ExpertsThatRowsMeet) {
  const ModelConfig c = mixture();
  const auto bytes = [&](int64_t rows) { return pass_weight_bytes(c, DType::kBF16, rows); };
  const double expert = 2 * 3 * 128 * 64, experts = 2 * 16 * expert;  // of both sparse layers
  const double rest = bytes(1) - experts * 2 / 16;
  EXPECT_NEAR(bytes(3), rest + experts * (1 - std::pow(14.0 / 16, 3)), 1);
  EXPECT_NEAR(bytes(1 << 20), rest + experts, 1);
  EXPECT_EQ(expected_part(shape_config("countdown"), 1), 1);
}

void expect_held(const MemoryTable& table) {
  for (const MemoryRow& row : table.rows) {
    SCOPED_TRACE(table.title + ": " + row.name);
    if (!row.held) continue;
    EXPECT_LE(*row.held, 1.1 * row.demanded);
    EXPECT_GE(*row.held, 0.99 * row.demanded);  // first tokens of sequences have no hidden state
  }
}

// Nothing holds a tenth more than the shapes demand, and no formula demands what is not needed.
TEST(Memory, HeldIsWhatIsDemanded) {
  ThreadPool pool(2);
  const std::unique_ptr<Ops> ops = make_ops(pool, "");
  for (const ModelConfig& c : {shape_config("countdown"), mixture()}) {
    SCOPED_TRACE(c.architecture);
    for (const bool recompute : {false, true}) {
      const MemoryTable t = training_table(c, DType::kBF16, *ops, 512, 128, recompute);
      EXPECT_EQ(t.rows.size(), 7u);
      expect_held(t);
    }
    expect_held(inference_table(c, nullptr, DType::kQ8_0, *ops, 400));
  }
}

// Each limit bounds the pass that leans on it.
TEST(Predict, WhatBounds) {
  Roof roof;
  roof.threads = 8;
  roof.f32 = roof.core_f32 = 1e11;
  roof.bf16 = roof.int8 = 2e11;
  roof.read = roof.copy = roof.update = 1e10;
  const ModelConfig c = shape_config("qwen2.5-0.5b");
  const double weights = pass_weight_bytes(c, DType::kBF16, 1);
  const auto time = [&](const PassCost& cost) { return predict(cost, roof, DType::kBF16); };
  EXPECT_STREQ(time(decode_cost(c, weights, 0)).bound(), "memory");
  EXPECT_STREQ(time(prefill_cost(c, weights, 512)).bound(), "compute");
  EXPECT_STREQ(time(decode_cost(c, weights, 1e6)).bound(), "attention");
  const double alone = time(decode_cost(c, weights, 100)).seconds();
  EXPECT_GE(alone, weights / roof.read);
  EXPECT_LT(time(group_cost(c, weights, 8, 64, 36)).seconds(), 8 * alone);
  const auto training = [&](bool recompute) {
    return time(training_cost(c, DType::kBF16, 1024, 256, recompute));
  };
  EXPECT_GT(training(true).seconds(), training(false).seconds());
  EXPECT_EQ(training(true).update, training(false).update);
}

TEST(Predict, AnotherMachine) {
  Roof roof;
  roof.threads = 2;
  roof.core_f32 = 1, roof.core_bf16 = 2, roof.core_int8 = 4;
  roof.read = 10, roof.copy = 8, roof.update = 16;
  const Roof cores = scaled_roof(roof, 64, 0, 0, DType::kBF16);
  EXPECT_EQ(cores.bf16, 128);
  EXPECT_EQ(cores.read, 10);
  const Roof given = scaled_roof(roof, 64, 64, 30, DType::kBF16);
  EXPECT_EQ(given.bf16, 64);
  EXPECT_EQ(given.f32, 32);
  EXPECT_EQ(given.read, 30);
  EXPECT_EQ(given.update, 48);
}

}  // namespace
}  // namespace r1
