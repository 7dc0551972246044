#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "model/batch.h"
#include "model/weights.h"

namespace r1 {
namespace {

std::string error_of(const Json& json) {
  try {
    parse_model_config(json, "config.json");
  } catch (const InputError& e) {
    return e.what();
  }
  return "no error";
}

std::string error_with(const char* text, const char* key, const Json& value) {
  Json json = Json::parse(text);
  json[key] = value;
  return error_of(json);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The fields of published config.json files.
constexpr const char* kLlama = R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
  "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
  "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 5632, "mlp_bias": false,
  "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32,
  "num_hidden_layers": 22, "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
  "rope_scaling": null, "rope_theta": 500000.0, "tie_word_embeddings": false,
  "torch_dtype": "bfloat16", "transformers_version": "4.35.0", "use_cache": true,
  "vocab_size": 32000})";
constexpr const char* kQwen2 = R"({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0,
  "bos_token_id": 151643, "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896,
  "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768,
  "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
  "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
  "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false,
  "vocab_size": 151936})";
constexpr const char* kQwen3 = R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false,
  "attention_dropout": 0.0, "bos_token_id": 151643, "dtype": "bfloat16",
  "eos_token_id": [151645, 151643], "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
  "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
  "max_window_layers": 2, "layer_types": ["full_attention", "full_attention"],
  "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 2,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
  "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"}, "sliding_window": null,
  "tie_word_embeddings": true, "use_cache": true, "use_sliding_window": false,
  "vocab_size": 151936})";
constexpr const char* kLlama3 = R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
  "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64,
  "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
  "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0,
  "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256})";
constexpr const char* kQwen3Moe = R"({"architectures": ["Qwen3MoeForCausalLM"],
  "attention_bias": false, "decoder_sparse_step": 1, "eos_token_id": 151645, "head_dim": 128,
  "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 6144,
  "max_position_embeddings": 40960, "max_window_layers": 48, "mlp_only_layers": [],
  "model_type": "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true,
  "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
  "num_hidden_layers": 48, "num_key_value_heads": 4, "output_router_logits": false,
  "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000.0,
  "router_aux_loss_coef": 0.001, "sliding_window": null, "tie_word_embeddings": false,
  "use_sliding_window": false, "vocab_size": 151936})";
constexpr const char* kDeepseekV2Lite = R"({"architectures": ["DeepseekV2ForCausalLM"],
  "attention_bias": false, "aux_loss_alpha": 0.001, "bos_token_id": 100000,
  "eos_token_id": 100001, "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
  "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840,
  "model_type": "deepseek_v2", "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1,
  "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false,
  "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
  "num_key_value_heads": 16, "q_lora_rank": null, "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32,
  "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
  "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000,
  "routed_scaling_factor": 1.0, "scoring_func": "softmax", "seq_aux": true,
  "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy", "v_head_dim": 128,
  "vocab_size": 102400})";
constexpr const char* kDeepseekV3 = R"({"architectures": ["DeepseekV3ForCausalLM"],
  "attention_bias": false, "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1,
  "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
  "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
  "model_type": "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8,
  "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
  "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
  "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
  "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "quantization_config":
  {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
  "weight_block_size": [128, 128]}, "rms_norm_eps": 1e-06, "rope_scaling": {"beta_fast": 32,
  "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
  "original_max_position_embeddings": 4096, "type": "yarn"}, "rope_theta": 10000,
  "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false,
  "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size": 129280})";
constexpr const char* kDense[] = {kLlama, kQwen2, kQwen3, kLlama3};
constexpr const char* kAll[] = {kLlama,    kQwen2,          kQwen3,     kLlama3,
                                kQwen3Moe, kDeepseekV2Lite, kDeepseekV3};

ModelConfig parse(const char* text) {
  return parse_model_config(Json::parse(text), "config.json");
}

TEST(ModelConfig, ReadsLlama) {
  const ModelConfig c = parse(kLlama);
  EXPECT_EQ(c.architecture, "LlamaForCausalLM");
  EXPECT_EQ(c.hidden_size, 2048);
  EXPECT_EQ(c.num_hidden_layers, 22);
  EXPECT_EQ(c.num_attention_heads, 32);
  EXPECT_EQ(c.num_key_value_heads, 4);
  EXPECT_EQ(c.head_dim, 64);
  EXPECT_EQ(c.intermediate_size, 5632);
  EXPECT_EQ(c.vocab_size, 32000);
  EXPECT_EQ(c.max_position_embeddings, 2048);
  EXPECT_EQ(c.rope_theta, 500000.0);
  EXPECT_EQ(c.rms_norm_eps, 1e-5);
  EXPECT_FALSE(c.tie_word_embeddings || c.attention_bias || c.qk_norm);
  EXPECT_EQ(c.eos_token_ids, std::vector<int32_t>{2});
  EXPECT_EQ(c.parameters(), 1100048384);  // TinyLlama's 1.1B
}

TEST(ModelConfig, ReadsQwen2) {
  const ModelConfig c = parse(kQwen2);
  EXPECT_EQ(c.head_dim, 64);
  EXPECT_TRUE(c.attention_bias && c.tie_word_embeddings);
  EXPECT_FALSE(c.qk_norm);
  EXPECT_EQ(c.parameters(), 494032768);  // Qwen2.5-0.5B's
}

TEST(ModelConfig, ReadsQwen3) {
  const ModelConfig c = parse(kQwen3);
  EXPECT_EQ(c.head_dim, 128);
  EXPECT_EQ(c.query_width(), 2048);
  EXPECT_EQ(c.kv_width(), 1024);
  EXPECT_EQ(c.rope_theta, 1e6);
  EXPECT_TRUE(c.qk_norm && !c.attention_bias);
  EXPECT_EQ(c.eos_token_ids, (std::vector<int32_t>{151645, 151643}));
}

TEST(ModelConfig, ReadsLlama3) {
  const ModelConfig c = parse(kLlama3);
  EXPECT_EQ(c.rope_scaling.type, "llama3");
  EXPECT_EQ(c.rope_scaling.factor, 32);
  EXPECT_EQ(c.rope_scaling.original_max_position_embeddings, 8192);
  EXPECT_EQ(c.parameters(), 1235814400);  // Llama-3.2-1B's
  // Fast pairs as they are, slow ones 32 times slower (section 2 of the model's published code).
  const auto f = rope_frequencies(c.rope_scaling, c.rope_theta, c.rope_dim());
  EXPECT_EQ(f[0], 1.0);
  EXPECT_DOUBLE_EQ(f[31], std::pow(500000.0, -62.0 / 64) / 32);
  EXPECT_EQ(c.rope_scaling.magnitude(), 1.0);
}

TEST(ModelConfig, ReadsQwen3Moe) {
  const ModelConfig c = parse(kQwen3Moe);
  EXPECT_TRUE(c.qk_norm && c.norm_topk_prob && !c.sigmoid_routing() && !c.mla());
  EXPECT_EQ(c.routed_experts, 128);
  EXPECT_TRUE(c.sparse(0) && c.sparse(47));
  EXPECT_EQ(c.parameters(), 30532122624);                                // Qwen3-30B-A3B's
  EXPECT_NEAR(static_cast<double>(c.active_parameters()), 3.35e9, 1e7);  // 3.3B by its card
  Json json = Json::parse(kQwen3Moe);
  json["decoder_sparse_step"] = 2;
  json["mlp_only_layers"] = {3};
  const ModelConfig some = parse_model_config(json, "config.json");
  EXPECT_TRUE(!some.sparse(0) && some.sparse(1) && !some.sparse(2) && !some.sparse(3));
}

TEST(ModelConfig, ReadsDeepseekV2) {
  const ModelConfig c = parse(kDeepseekV2Lite);
  EXPECT_TRUE(c.mla() && c.q_lora_rank == 0 && !c.sigmoid_routing());
  EXPECT_EQ(c.shared_experts, 2);
  EXPECT_TRUE(!c.sparse(0) && c.sparse(1));
  EXPECT_EQ(c.parameters(), 15706484224);      // V2-Lite's
  EXPECT_EQ(c.rope_scaling.magnitude(), 1.0);  // mscale / mscale_all_dim
  const double m = 0.1 * 0.707 * std::log(40.0) + 1;
  EXPECT_DOUBLE_EQ(c.rope_scaling.softmax_magnitude(), m * m);
}

TEST(ModelConfig, ReadsDeepseekV3) {
  ModelConfig c = parse(kDeepseekV3);
  EXPECT_TRUE(c.mla() && c.sigmoid_routing() && c.norm_topk_prob);
  EXPECT_EQ(c.n_group, 8);
  EXPECT_EQ(c.topk_group, 4);
  EXPECT_TRUE(!c.sparse(2) && c.sparse(3));
  EXPECT_EQ(c.parameters(), 671026419200);  // 671B, correction biases included
  EXPECT_NEAR(static_cast<double>(c.active_parameters()), 37.5e9, 1e9);  // 37B by the report
  // The compressed cache: 576 numbers a token and layer where heads would have 40,960.
  EXPECT_EQ(c.kv_shape().page_bytes(), 576 * kPageSize * 4);
  c.kv_cache_dtype = KvType::kBF16;
  EXPECT_EQ(c.kv_shape().page_bytes(), 576 * kPageSize * 2);
  c.kv_cache_dtype = KvType::kI8;
  EXPECT_EQ(c.kv_shape().page_bytes(), (576 + 4) * kPageSize);  // a scale each position
}

TEST(ModelConfig, RefusesExpertsThatDoNotFit) {
  EXPECT_TRUE(has(error_with(kQwen3Moe, "num_experts_per_tok", 129), "num_experts_per_tok"));
  EXPECT_TRUE(has(error_with(kQwen3Moe, "num_experts", 1025), "num_experts"));
  EXPECT_TRUE(has(error_with(kQwen3Moe, "mlp_only_layers", {48}), "mlp_only_layers"));
  EXPECT_TRUE(has(error_with(kQwen3Moe, "num_hidden_layers", 1024), "num_experts"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "n_group", 7), "n_group"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "topk_group", 9), "topk_group"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "num_experts_per_tok", 129), "num_experts_per_tok"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "qk_rope_head_dim", 63), "qk_rope_head_dim"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "scoring_func", "softmax"), "scoring_func"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "topk_method", "greedy"), "topk_method"));
  EXPECT_TRUE(has(error_with(kDeepseekV3, "kv_lora_rank", nullptr), "kv_lora_rank"));
  EXPECT_TRUE(has(error_with(kDeepseekV2Lite, "topk_method", "noaux_tc"), "topk_method"));
  EXPECT_TRUE(has(error_with(kDeepseekV2Lite, "norm_topk_prob", true), "norm_topk_prob"));
  Json scheme = {{"quant_method", "gptq"}};
  EXPECT_TRUE(has(error_with(kDeepseekV3, "quantization_config", scheme), "quant_method"));
}

TEST(ModelConfig, ComesBackFromItsJson) {
  for (const char* text : kAll) {
    ModelConfig c = parse(text);
    c.rope_theta = 12345.678901234567;
    c.rms_norm_eps = 1e-5 / 3;
    const Json json = model_config_json(c);
    const ModelConfig back = parse_model_config(Json::parse(json.dump()), "again");
    EXPECT_EQ(model_config_json(back), json);
    EXPECT_EQ(back.rope_theta, c.rope_theta);
    EXPECT_EQ(back.rms_norm_eps, c.rms_norm_eps);
    EXPECT_EQ(back.architecture, c.architecture);
    EXPECT_EQ(back.head_dim, c.head_dim);
    EXPECT_EQ(back.eos_token_ids, c.eos_token_ids);
    EXPECT_EQ(back.attention_bias, c.attention_bias);
    EXPECT_EQ(back.qk_norm, c.qk_norm);
    EXPECT_EQ(back.tie_word_embeddings, c.tie_word_embeddings);
    EXPECT_EQ(back.parameters(), c.parameters());
    EXPECT_EQ(back.active_parameters(), c.active_parameters());
    EXPECT_EQ(back.rope_scaling.softmax_magnitude(), c.rope_scaling.softmax_magnitude());
  }
}

TEST(ModelConfig, FieldsThatMayBeMissing) {
  Json json = Json::parse(kLlama);
  for (const char* key : {"num_key_value_heads", "head_dim", "rope_theta", "rms_norm_eps",
                          "tie_word_embeddings", "eos_token_id", "hidden_act"}) {
    json.erase(key);
  }
  ModelConfig c = parse_model_config(json, "config.json");
  EXPECT_EQ(c.num_key_value_heads, 32);
  EXPECT_EQ(c.rope_theta, 10000.0);
  EXPECT_TRUE(c.eos_token_ids.empty());
  json["rope_parameters"] = {{"rope_type", "default"}};
  json["rope_theta"] = 7e5;
  EXPECT_EQ(parse_model_config(json, "config.json").rope_theta, 7e5);
  json["rope_parameters"]["rope_theta"] = 8e5;
  EXPECT_EQ(parse_model_config(json, "config.json").rope_theta, 8e5);
  json["rope_scaling"] = {{"type", "default"}};
  EXPECT_EQ(error_of(json), "no error");
  for (const char* key : {"architectures", "hidden_size", "num_hidden_layers",
                          "num_attention_heads", "intermediate_size", "vocab_size"}) {
    Json less = Json::parse(kQwen2);
    less.erase(key);
    EXPECT_TRUE(has(error_of(less), std::string("'") + key + "'")) << key;
  }
}

TEST(ModelConfig, RefusesMathematicsItLacks) {
  for (const char* text : kAll) {
    for (const char* field : {"rope_scaling", "rope_parameters"}) {
      const auto refuses = [&](const Json& value, const std::string& what) {
        const std::string error = error_with(text, field, value);
        EXPECT_TRUE(has(error, field) && has(error, what)) << error;
      };
      refuses({{"type", "dynamic"}, {"factor", 4.0}}, "\"dynamic\"");
      refuses({{"rope_type", "longrope"}, {"factor", 32.0}}, "'rope_type'");
      refuses({{"factor", 2.0}}, "'factor'");
      refuses("linear", "object");
      refuses({{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}, "partial_rotary_factor");
      refuses({{"rope_type", "yarn"}, {"factor", 0.5}}, "'factor'");
      refuses({{"rope_type", "llama3"}, {"factor", 8.0}, {"high_freq_factor", 1.0}},
              "high_freq_factor");
    }
    const Json by_layer = {{"full_attention", {{"rope_theta", 1e4}}}};
    EXPECT_TRUE(has(error_with(text, "rope_parameters", by_layer), "full_attention"));
    EXPECT_TRUE(has(error_with(text, "partial_rotary_factor", 0.25), "partial_rotary_factor"));
    EXPECT_TRUE(has(error_with(text, "hidden_act", "gelu"), "'hidden_act'"));
    EXPECT_TRUE(has(error_with(text, "attention_bias", true), "'attention_bias'"));
    EXPECT_TRUE(has(error_with(text, "mlp_bias", true), "'mlp_bias'"));
    EXPECT_TRUE(has(error_with(text, "use_sliding_window", true), "'use_sliding_window'"));
    EXPECT_TRUE(has(error_with(text, "layer_types", {"full_attention", "sliding_attention"}),
                    "'layer_types'"));
  }
}

TEST(ModelConfig, RefusesHostileValues) {
  const Json hostile[] = {-1,
                          0,
                          int64_t{1} << 62,
                          ~uint64_t{0},
                          -(int64_t{1} << 62),
                          1e300,
                          2.5,
                          "12",
                          true,
                          Json::array({1}),
                          Json::object(),
                          "\n\x01"};
  for (const char* text : kDense) {
    for (const char* key :
         {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
          "head_dim", "intermediate_size", "vocab_size", "max_position_embeddings"}) {
      for (const Json& value : hostile) {
        const std::string error = error_with(text, key, value);
        EXPECT_TRUE(has(error, "config.json: ") && has(error, key)) << key << ": " << error;
        EXPECT_FALSE(has(error, "\n"));
      }
    }
  }
  for (const char* key : {"rope_theta", "rms_norm_eps"}) {
    for (const Json& value : {Json(-1.0), Json("1"), Json(1e300), Json(true), Json::array()}) {
      EXPECT_TRUE(has(error_with(kLlama, key, value), std::string("'") + key + "'")) << value;
    }
  }
  const Json theta = {{"rope_theta", -3}};
  EXPECT_TRUE(has(error_with(kLlama, "rope_parameters", theta), "'rope_theta'"));
  for (const Json& value : {Json(-1), Json(151936), Json("a"), Json(2.0), Json(~uint64_t{0}),
                            Json::array({1, -1}), Json::array({Json::array({1})}), Json(true)}) {
    EXPECT_TRUE(has(error_with(kQwen3, "eos_token_id", value), "'eos_token_id'")) << value;
  }
  EXPECT_TRUE(has(error_with(kLlama, "tie_word_embeddings", "yes"), "'tie_word_embeddings'"));
  EXPECT_THROW(parse_json(R"({"rope_theta": NaN})", "config.json"), InputError);
}

TEST(ModelConfig, RefusesHeadsThatDoNotDivide) {
  EXPECT_TRUE(has(error_with(kLlama, "num_key_value_heads", 5), "multiple of num_key_value_heads"));
  EXPECT_TRUE(
      has(error_with(kLlama, "num_key_value_heads", 64), "multiple of num_key_value_heads"));
  EXPECT_TRUE(has(error_with(kLlama, "num_attention_heads", 28), "num_attention_heads (28)"));
  EXPECT_TRUE(has(error_with(kQwen3, "head_dim", 127), "even"));
  EXPECT_TRUE(has(error_with(kLlama, "hidden_size", 32), "even"));  // a head_dim of 1
}

TEST(ModelConfig, RefusesOtherArchitectures) {
  EXPECT_TRUE(has(error_with(kLlama, "architectures", {"GPT2LMHeadModel"}), "LlamaForCausalLM"));
  const std::string error = error_with(kLlama, "architectures", {"a\nb"});
  EXPECT_TRUE(has(error, R"("a\nb")") && !has(error, "\n")) << error;
  for (const Json& value : {Json("LlamaForCausalLM"), Json::array(), Json::array({1}), Json()}) {
    EXPECT_TRUE(has(error_with(kLlama, "architectures", value), "'architectures'")) << value;
  }
  EXPECT_TRUE(has(error_of(Json::array()), "object"));
}

using Parts = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// Names and shapes of the tensors in the Hugging Face file.
Parts parts_of(const ModelConfig& c) {
  Parts all;
  for (const ParameterSpec& p : parameter_specs(c)) {
    int64_t rows = 0;
    for (const auto& part : p.parts) {
      all.push_back({part.name, p.vector ? std::vector<int64_t>{part.rows}
                                         : std::vector<int64_t>{part.rows, p.cols}});
      rows += part.rows;
    }
    EXPECT_EQ(rows, p.rows) << p.name;
  }
  return all;
}

TEST(ParameterSpecs, NamesAndShapes) {
  ModelConfig c;
  c.architecture = "LlamaForCausalLM";
  c.hidden_size = 12;
  c.num_hidden_layers = 1;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 6;
  c.intermediate_size = 20;
  c.vocab_size = 50;
  const std::string b = "model.layers.0.";
  const Parts llama = {{"model.embed_tokens.weight", {50, 12}},
                       {b + "input_layernorm.weight", {12}},
                       {b + "self_attn.q_proj.weight", {24, 12}},
                       {b + "self_attn.k_proj.weight", {12, 12}},
                       {b + "self_attn.v_proj.weight", {12, 12}},
                       {b + "self_attn.o_proj.weight", {12, 24}},
                       {b + "post_attention_layernorm.weight", {12}},
                       {b + "mlp.gate_proj.weight", {20, 12}},
                       {b + "mlp.up_proj.weight", {20, 12}},
                       {b + "mlp.down_proj.weight", {12, 20}},
                       {"model.norm.weight", {12}},
                       {"lm_head.weight", {50, 12}}};
  EXPECT_EQ(parts_of(c), llama);
  c.tie_word_embeddings = true;
  Parts tied = llama;
  tied.pop_back();
  EXPECT_EQ(parts_of(c), tied);
  c.attention_bias = true;  // Qwen2
  Parts biased = tied;
  biased.insert(biased.begin() + 5, {{b + "self_attn.q_proj.bias", {24}},
                                     {b + "self_attn.k_proj.bias", {12}},
                                     {b + "self_attn.v_proj.bias", {12}}});
  EXPECT_EQ(parts_of(c), biased);
  c.attention_bias = false;
  c.qk_norm = true;  // Qwen3
  Parts normed = tied;
  normed.insert(normed.begin() + 5,
                {{b + "self_attn.q_norm.weight", {6}}, {b + "self_attn.k_norm.weight", {6}}});
  EXPECT_EQ(parts_of(c), normed);
  c.num_hidden_layers = 3;
  EXPECT_EQ(parts_of(c).size(), tied.size() + 2 + 2 * (tied.size() - 2 + 2));
}

}  // namespace
}  // namespace r1
