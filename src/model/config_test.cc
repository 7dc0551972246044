#include "model/config.h"

#include <gtest/gtest.h>

#include "base/error.h"
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
constexpr const char* kAll[] = {kLlama, kQwen2, kQwen3};

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
  for (const char* text : kAll) {
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
