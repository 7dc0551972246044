#include "package/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "backend/backend.h"
#include "base/error.h"
#include "base/testing.h"
#include "io/safetensors.h"
#include "model/model.h"
#include "package/gguf_model.h"
#include "package/gguf_tokenizer.h"
#include "package/model_facts.h"
#include "package/model_files.h"
#include "tensor/quant.h"
#include "text/chat_template.h"
#include "text/number_tokenizer.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(R1_SOURCE_DIR) / "tests" / "fixtures" / "gguf";

ModelConfig config_of(const std::string& architecture, int64_t vocab) {
  ModelConfig c;
  c.architecture = architecture;
  c.hidden_size = 64;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 16;
  c.intermediate_size = 96;
  c.vocab_size = vocab;
  c.max_position_embeddings = 64;
  c.eos_token_ids = {301, 300};
  return parse_model_config(model_config_json(c), "test");
}

class Convert : public testing::Test {
 protected:
  Conversion convert(const std::string& from, const std::string& to, ConvertOptions options = {}) {
    double last = 0;
    const Conversion result =
        convert_model(folder_ / from, folder_ / to, options, pool_, [&](double done) {
          EXPECT_GE(done, last);
          last = done;
        });
    EXPECT_EQ(last, 1.0);
    return result;
  }

  // A model's folder, with the fixtures' tokenizer of 303 tokens.
  fs::path make(const std::string& name, const ModelConfig& config) {
    const fs::path folder = folder_ / name;
    const auto ops = make_ops(pool_);
    Model::create(config, 1, *ops, DType::kF32).save(folder);
    write_file_atomic(folder / "tokenizer.json", read_file(kFixtures / "tokenizer.json"));
    const Json tokenizer = {
        {"bos_token", "<|begin|>"}, {"eos_token", "<|end|>"}, {"chat_template", "{{ messages }}"}};
    write_file_atomic(folder / "tokenizer_config.json", tokenizer.dump());
    write_file_atomic(folder / "generation_config.json", R"({"temperature": 0.6, "top_k": 20})");
    return folder;
  }

  // The model whose logits are compared with transformers', with a wider vocabulary.
  void make_fixture(const std::string& name) {
    const fs::path file = kFixtures / ".." / "models" / name / "config.json";
    Json json = parse_json(read_file(file), file.string());
    json["vocab_size"] = 310;
    json["eos_token_id"] = {301, 300};
    // What GGUF has no key for (RefusesWhatGgufCannotSay).
    if (name == "qwen3_moe") json["mlp_only_layers"] = Json::array();
    if (name == "deepseek_v3") json["rope_parameters"]["mscale"] = 1.3;
    make(name, parse_model_config(json, name));
  }

  // The first model's tensors are in the second, the same bits.
  void expect_same_tensors(const std::string& a, const std::string& b) {
    const ModelFiles want = open_model_files(folder_ / a), got = open_model_files(folder_ / b);
    EXPECT_EQ(want.tensors->tensors().size(), got.tensors->tensors().size());
    for (const TensorInfo& listed : want.tensors->tensors()) {
      const TensorInfo* w = want.tensors->find(listed.name);
      const TensorInfo* g = got.tensors->find(listed.name);
      ASSERT_NE(g, nullptr) << listed.name;
      EXPECT_EQ(g->shape, w->shape) << listed.name;
      ASSERT_EQ(g->dtype, w->dtype) << listed.name;
      EXPECT_EQ(std::memcmp(g->bytes.data(), w->bytes.data(), w->bytes.size()), 0) << listed.name;
    }
  }

  TempFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(Convert, EveryDirectionKeepsEverything) {
  for (const std::string a : {"llama", "llama3", "qwen2", "qwen2_yarn", "qwen3", "qwen3_moe",
                              "deepseek_v2", "deepseek_v2_groups", "deepseek_v3"}) {
    SCOPED_TRACE(a);
    make_fixture(a);
    convert(a, a + ".gguf");
    convert(a + ".gguf", a + "-again.gguf");
    convert(a + "-again.gguf", a + "-back");
    convert(a + "-back", a + "-copy");
    for (const char* other : {".gguf", "-again.gguf", "-back", "-copy"}) {
      expect_same_tensors(a, a + other);
      const ModelFiles want = open_model_files(folder_ / a);
      const ModelFiles got = open_model_files(folder_ / (a + other));
      EXPECT_EQ(model_config_json(got.config), model_config_json(want.config)) << other;
      const auto chat = chat_template_source(got.tokenizer, other);
      ASSERT_TRUE(chat) << other;
      EXPECT_EQ(chat->text, "{{ messages }}") << other;
      EXPECT_EQ(got.generation["top_k"], 20) << other;
      EXPECT_FLOAT_EQ(got.generation["temperature"].get<float>(), 0.6f) << other;
    }
    EXPECT_EQ(read_file(folder_ / a / "model.safetensors"),
              read_file(folder_ / (a + "-copy") / "model.safetensors"));
  }
}

TEST_F(Convert, ShardsAreSplitAndMerged) {
  make("model", config_of("Qwen3ForCausalLM", 310));
  ConvertOptions options;
  options.shard_bytes = 100'000;
  convert("model", "shards", options);
  EXPECT_TRUE(fs::exists(folder_ / "shards" / "model.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(folder_ / "shards" / "model.safetensors"));
  EXPECT_GT(SafeTensors::open(folder_ / "shards").file_count(), 2u);
  expect_same_tensors("model", "shards");
  convert("shards", "merged");
  EXPECT_EQ(read_file(folder_ / "model" / "model.safetensors"),
            read_file(folder_ / "merged" / "model.safetensors"));
}

TEST_F(Convert, ElementTypes) {
  make("model", config_of("LlamaForCausalLM", 310));
  const ModelFiles original = open_model_files(folder_ / "model");
  const std::string query = "model.layers.1.self_attn.q_proj.weight";
  const std::string down = "model.layers.1.mlp.down_proj.weight";
  const std::string norm = "model.norm.weight";
  const TensorInfo* want = original.tensors->find(query);
  std::vector<float> exact(static_cast<size_t>(want->elements()));
  copy_to_f32(*want, exact.data());
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
        DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    ConvertOptions options;
    options.dtype = dtype;
    options.overwrite = true;
    convert("model", "m.gguf", options);
    const ModelFiles got = open_model_files(folder_ / "m.gguf");
    EXPECT_EQ(got.tensors->find(norm)->dtype, DType::kF32);
    // Rows of 64 and 96 are no whole number of a K format's 256.
    const DType expected = dtype_block(dtype) == 256 ? DType::kQ8_0 : dtype;
    EXPECT_EQ(got.tensors->find(query)->dtype, expected);
    EXPECT_EQ(got.tensors->find(down)->dtype, expected);
    // Values are those of quantizing the original, in the original's order.
    std::vector<std::byte> blocks(dtype_bytes(expected, want->elements()));
    quantize(expected, exact.data(), want->elements(), blocks.data());
    EXPECT_EQ(std::memcmp(got.tensors->find(query)->bytes.data(), blocks.data(), blocks.size()), 0);
  }
  ConvertOptions options;
  options.dtype = DType::kQ8_0;
  EXPECT_HAS(error_of([&] { convert("model", "folder", options); }), "holds no Q8_0");
  EXPECT_FALSE(fs::exists(folder_ / "folder"));
}

// DeepSeek-V3's published form: float8 with a scale for each 128 x 128.
TEST_F(Convert, Float8WithBlockScalesIsDequantized) {
  ModelConfig config = config_of("LlamaForCausalLM", 310);
  config.hidden_size = 192;
  config.head_dim = 48;
  make("model", parse_model_config(model_config_json(config), "test"));
  const std::string name = "model.layers.0.mlp.gate_proj.weight";
  const SafeTensors original = SafeTensors::open(folder_ / "model");
  std::vector<TensorOut> tensors;
  for (const TensorInfo& t : original.tensors())
    tensors.push_back({t.name, t.dtype, t.shape, t.bytes});
  std::vector<uint8_t> small(96 * 192);
  for (size_t i = 0; i < small.size(); ++i) small[i] = static_cast<uint8_t>(i % 0x7f);
  std::vector<float> scales = {0.5f, 2.0f};
  for (TensorOut& t : tensors) {
    if (t.name != name) continue;
    t.dtype = DType::kF8E4M3;
    t.bytes = std::as_bytes(std::span(small));
  }
  tensors.push_back({name + "_scale_inv", DType::kF32, {1, 2}, std::as_bytes(std::span(scales))});
  fs::create_directory(folder_ / "f8");
  for (const char* file : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    fs::copy(folder_ / "model" / file, folder_ / "f8" / file);
  }
  write_safetensors(folder_ / "f8" / "model.safetensors", tensors);
  for (const char* to : {"out", "out.gguf"}) {
    ConvertOptions options;
    options.dtype = DType::kF32;
    convert("f8", to, options);
    const ModelFiles got = open_model_files(folder_ / to);
    EXPECT_EQ(got.tensors->find(name + "_scale_inv"), nullptr);
    const TensorInfo* values = got.tensors->find(name);
    ASSERT_EQ(values->dtype, DType::kF32);
    std::vector<float> found(small.size());
    copy_to_f32(*values, found.data());
    for (size_t i = 0; i < small.size(); ++i) {
      ASSERT_EQ(found[i], f8e4m3_to_f32(small[i]) * (i % 192 < 128 ? 0.5f : 2.0f)) << i;
    }
  }
}

TEST_F(Convert, RefusesWhatGgufCannotSay) {
  const auto error_with = [&](const std::string& name, const Json& change) {
    const fs::path file = kFixtures / ".." / "models" / name / "config.json";
    Json json = parse_json(read_file(file), file.string());
    json["vocab_size"] = 310;
    json.merge_patch(change);
    make(name, parse_model_config(json, name));
    return error_of([&] { convert(name, name + ".gguf"); });
  };
  EXPECT_HAS(error_with("qwen3_moe", {{"mlp_only_layers", {0}}}), "mlp_only_layers");
  EXPECT_HAS(error_with("deepseek_v3", {{"rope_parameters", {{"mscale", 0.5}}}}), "mscale");
  EXPECT_HAS(error_with("llama3", {{"rope_parameters", {{"low_freq_factor", 2.0}}}}),
             "low_freq_factor");
}

TEST_F(Convert, LosesNothingWithoutAWord) {
  make("model", config_of("LlamaForCausalLM", 310));
  const SafeTensors original = SafeTensors::open(folder_ / "model");
  std::vector<TensorOut> tensors;
  for (const TensorInfo& t : original.tensors())
    tensors.push_back({t.name, t.dtype, t.shape, t.bytes});
  tensors.push_back({"model.extra", DType::kF32, {0}, {}});
  write_safetensors(folder_ / "model" / "model.safetensors", tensors);
  EXPECT_HAS(error_of([&] { convert("model", "m.gguf"); }), "GGUF has no name for it");
  EXPECT_FALSE(fs::exists(folder_ / "m.gguf"));
}

TEST_F(Convert, NeverReplacesUnasked) {
  make("model", config_of("LlamaForCausalLM", 310));
  convert("model", "copy");
  EXPECT_HAS(error_of([&] { convert("model", "copy"); }), "--force");
  EXPECT_HAS(error_of([&] { convert("model", "model"); }), "is the source itself");
  fs::create_directory(folder_ / "other");
  write_file_atomic(folder_ / "other" / "precious", "x");
  ConvertOptions force;
  force.overwrite = true;
  EXPECT_HAS(error_of([&] { convert("model", "other", force); }), "other things than a model");
  EXPECT_TRUE(fs::exists(folder_ / "other" / "precious"));
  convert("model", "copy", force);
  const int before = folder_.entries();
  {
    const FileSizeLimit limit(50'000);
    EXPECT_THROW(convert("model", "full"), JobError);
    EXPECT_THROW(convert("model", "full.gguf"), JobError);
  }
  EXPECT_EQ(folder_.entries(), before);
}

// --- tokenizers ---

struct Case {
  std::string text;
  std::vector<int> ids;
};

std::vector<Case> cases_of(const fs::path& file) {
  std::vector<Case> cases;
  for (const Json& c : parse_json(read_file(file), file.string())) {
    cases.push_back({c.at("text"), c.at("ids")});
  }
  return cases;
}

// The metadata of a tokenizer.json.
GgufMetadata metadata_of(const std::string& json, std::string* warning = nullptr) {
  HuggingFaceTokenizer in;
  in.tokenizer = json;
  in.vocab_size = 200'000;
  in.where = "tokenizer.json";
  GgufMetadata metadata;
  const std::string said = add_gguf_tokenizer(in, metadata);
  if (warning) *warning = said;
  return metadata;
}

bool has_whole_file(const GgufMetadata& metadata) {
  return metadata.contains("tokenizer.huggingface.json");
}

void expect_cases(const Tokenizer& tokenizer, const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(tokenizer.encode(c.text), c.ids) << c.text;
}

TEST(GgufTokenizer, ReadsWhatTheGgufPackageWrote) {
  const Gguf file = Gguf::open(kFixtures / "tokenizer.gguf");
  const auto tokenizer =
      Tokenizer::parse(tokenizer_json_from_gguf(file.metadata(), "t.gguf"), "t.gguf");
  const auto cases = cases_of(kFixtures / "tokenizer_cases.json");
  expect_cases(tokenizer, cases);
  const Json rows = parse_json(read_file(kFixtures / "tokenizer_cases.json"), "cases");
  for (const Json& c : rows) {
    EXPECT_EQ(tokenizer.encode(c.at("text").get<std::string>(), true),
              c.at("with_special").get<std::vector<int>>());
  }
  EXPECT_EQ(tokenizer.vocab_size(), 303);
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.token_to_id("<|end|>")));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.token_to_id("<think>")));
  const Json config = parse_json(tokenizer_config_from_gguf(file.metadata(), "t.gguf"), "config");
  EXPECT_EQ(config["bos_token"], "<|begin|>");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_EQ(config["chat_template"], "{{ messages[0].content }}");
}

TEST(GgufTokenizer, WritesWhatTheGgufPackageWrote) {
  const GgufMetadata want = Gguf::open(kFixtures / "tokenizer.gguf").metadata();
  HuggingFaceTokenizer in;
  in.tokenizer = read_file(kFixtures / "tokenizer.json");
  in.config = {{"bos_token", "<|begin|>"}, {"eos_token", {{"content", "<|end|>"}}}};
  in.chat_template = "{{ messages[0].content }}";
  in.vocab_size = 304;
  in.where = "tokenizer.json";
  GgufMetadata got;
  EXPECT_EQ(add_gguf_tokenizer(in, got), "");
  for (const auto& [key, value] : want) {
    if (!key.starts_with("tokenizer.")) continue;
    ASSERT_TRUE(got.contains(key)) << key;
    EXPECT_EQ(got.at(key).value, value.value) << key;
    EXPECT_EQ(got.at(key).type, value.type) << key;
  }
  EXPECT_EQ(got.at("tokenizer.ggml.add_bos_token").value, true);
  EXPECT_FALSE(has_whole_file(got));
}

// llama.cpp has no name for its pre-tokenizer: the whole file goes along.
TEST(GgufTokenizer, TheNumberTokenizerGoesAlongWhole) {
  std::string warning;
  const std::string json = number_tokenizer_json();
  const GgufMetadata metadata = metadata_of(json, &warning);
  EXPECT_HAS(warning, "llama.cpp has no such pre-tokenizer");
  EXPECT_TRUE(has_whole_file(metadata));
  EXPECT_EQ(tokenizer_json_from_gguf(metadata, "m.gguf"), json);
}

TEST(GgufTokenizer, WhatTheFieldsCannotSayGoesAlongWhole) {
  Json json = parse_json(read_file(kFixtures / "tokenizer.json"), "tokenizer.json");
  EXPECT_FALSE(has_whole_file(metadata_of(json.dump())));
  Json changed = json;
  changed["added_tokens"][0]["lstrip"] = true;
  EXPECT_TRUE(has_whole_file(metadata_of(changed.dump())));
  changed = json;
  changed["normalizer"] = {{"type", "Lowercase"}};
  EXPECT_TRUE(has_whole_file(metadata_of(changed.dump())));
  changed = json;
  changed["model"]["ignore_merges"] = false;
  EXPECT_TRUE(has_whole_file(metadata_of(changed.dump())));
}

TEST(GgufTokenizer, RefusesWhatItCannotRead) {
  const GgufMetadata good = Gguf::open(kFixtures / "tokenizer.gguf").metadata();
  const auto error_with = [&](const char* key, GgufValue value) {
    GgufMetadata metadata = good;
    metadata[key] = std::move(value);
    return error_of([&] {
      tokenizer_json_from_gguf(metadata, "m.gguf");
      tokenizer_config_from_gguf(metadata, "m.gguf");
    });
  };
  EXPECT_HAS(error_with("tokenizer.ggml.model", GgufValue::string("llama")), "\"gpt2\"");
  EXPECT_HAS(error_with("tokenizer.ggml.pre", GgufValue::string("poro-chat")), "\"poro-chat\"");
  EXPECT_HAS(error_with("tokenizer.ggml.tokens", GgufValue::u32(1)), "array of strings");
  EXPECT_HAS(error_with("tokenizer.ggml.token_type", {GgufType::kI32, Json::array({1})}), "304");
  EXPECT_HAS(error_with("tokenizer.ggml.bos_token_id", GgufValue::u32(9999)), "304 tokens");
  EXPECT_HAS(error_of([&] { metadata_of("{}"); }), "tokenizer.json");
  EXPECT_HAS(error_of([&] { metadata_of(R"({"model": {"type": "Unigram", "vocab": []}})"); }),
             "Unigram");
}

class SharedTokenizers : public testing::TestWithParam<const char*> {};

TEST_P(SharedTokenizers, KeepTheirIds) {
  const fs::path folder =
      fs::path(R1_SOURCE_DIR) / ".." / "shared" / "data" / "tokenizers" / GetParam();
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder.string();
  const GgufMetadata metadata = metadata_of(read_file(folder / "tokenizer.json"));
  EXPECT_FALSE(has_whole_file(metadata));
  expect_cases(Tokenizer::parse(tokenizer_json_from_gguf(metadata, "m.gguf"), "m.gguf"),
               cases_of(folder / "cases.json"));
}

INSTANTIATE_TEST_SUITE_P(Data, SharedTokenizers,
                         testing::Values("deepseek-r1-distill-qwen", "gpt-2"));

// --- MODEL ---

class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

// The hub's cache: snapshots of links into blobs, and names for them.
TEST(HubCache, NamesAreFound) {
  const TempFolder folder;
  const fs::path root = folder / "models--org--name";
  for (const char* commit : {"abc123", "def456"}) {
    fs::create_directories(root / "snapshots" / commit);
    fs::create_directories(root / "blobs");
    write_file_atomic(root / "blobs" / commit, "{}");
    fs::create_symlink(fs::path("../../blobs") / commit,
                       root / "snapshots" / commit / "config.json");
  }
  fs::create_directories(root / "refs");
  write_file_atomic(root / "refs" / "main", "abc123\n");
  write_file_atomic(root / "refs" / "v2", "def456");
  const ScopedVariable cache("HF_HUB_CACHE", folder.path().string());
  EXPECT_EQ(resolve_model("org/name"), root / "snapshots" / "abc123");
  EXPECT_EQ(resolve_model("org/name@v2"), root / "snapshots" / "def456");
  EXPECT_EQ(resolve_model("org/name@def456"), root / "snapshots" / "def456");
  EXPECT_THROW(resolve_model("org/name@none"), InputError);
  EXPECT_THROW(resolve_model("org/other"), InputError);
  EXPECT_THROW(resolve_model("../org/name"), InputError);
  write_file_atomic(root / "refs" / "bad", "../../elsewhere");
  EXPECT_THROW(resolve_model("org/name@bad"), InputError);
}

// Rows that are no multiple of a block's elements become another type; latent attention's rows are
// cut anew; a GGUF file's tensors are as the file names them.
TEST_F(Convert, FactsPromiseTheSizesThatConversionMakes) {
  for (const std::string name : {"llama", "llama3", "qwen3_moe", "deepseek_v2", "deepseek_v3"}) {
    make_fixture(name);
    convert(name, name + ".gguf");
    for (const std::string& from : {name, name + ".gguf"}) {
      for (const Fit& fit : inference_fits(model_facts(folder_ / from), 1e12)) {
        ConvertOptions options;
        options.dtype = fit.dtype == "f32"    ? DType::kF32
                        : fit.dtype == "bf16" ? DType::kBF16
                        : fit.dtype == "q8_0" ? DType::kQ8_0
                                              : DType::kQ4_K;
        options.overwrite = true;
        const auto made = static_cast<double>(convert(from, "made.gguf", options).bytes);
        EXPECT_EQ(fit.weights, made) << from << " " << fit.dtype;
        // The file has a header besides, of the tokenizer above all.
        EXPECT_NEAR(static_cast<double>(fs::file_size(folder_ / "made.gguf")), made, 40'000);
      }
    }
  }
}

TEST_F(Convert, FactsOfAModel) {
  make("model", config_of("Qwen3ForCausalLM", 310));
  ConvertOptions options;
  options.shard_bytes = 100'000;
  convert("model", "shards", options);
  convert("model", "m.gguf");
  const ModelFacts whole = model_facts(folder_ / "shards");
  EXPECT_EQ(whole.parameters, whole.config->parameters());
  EXPECT_EQ(whole.active_parameters, whole.parameters);
  EXPECT_EQ(whole.total_bytes(), static_cast<uint64_t>(4 * whole.parameters));
  EXPECT_EQ(whole.tokenizer_vocab_size, 303);
  EXPECT_TRUE(whole.missing.empty());
  EXPECT_EQ(model_facts(folder_ / "m.gguf").parameters, whole.parameters);
  fs::remove(folder_ / "shards" / "model-00002-of-00005.safetensors");
  const ModelFacts part = model_facts(folder_ / "shards");
  ASSERT_EQ(part.missing.size(), 1u);
  EXPECT_EQ(part.missing[0], "model-00002-of-00005.safetensors");
  EXPECT_LT(part.parameters, whole.parameters);
  const auto fits = inference_fits(whole, 1e12);
  EXPECT_EQ(fits[0].weights, 4.0 * static_cast<double>(whole.parameters));
  EXPECT_EQ(fits[0].context, 64);
  EXPECT_LT(inference_fits(whole, 10)[0].context, 0);
}

}  // namespace
}  // namespace r1
