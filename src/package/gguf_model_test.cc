#include "package/gguf_model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "base/testing.h"
#include "io/safetensors.h"
#include "tensor/quant.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(R1_SOURCE_DIR) / "tests" / "fixtures";

// The gguf package's file of the model in models/llama, q and k permuted by its own code.
TEST(GgufModelGolden, TensorsAreTheOriginalsBitForBit) {
  const auto model = GgufModel::open(kFixtures / "gguf" / "llama.gguf");
  const SafeTensors original = SafeTensors::open(kFixtures / "models" / "llama");
  ASSERT_EQ(model->tensors().size(), original.tensors().size());
  for (const TensorInfo& want : original.tensors()) {
    const TensorInfo* got = model->find(want.name);
    ASSERT_NE(got, nullptr) << want.name;
    EXPECT_EQ(got->shape, want.shape) << want.name;
    EXPECT_EQ(got->dtype, want.dtype) << want.name;
    ASSERT_EQ(got->bytes.size(), want.bytes.size()) << want.name;
    EXPECT_EQ(std::memcmp(got->bytes.data(), want.bytes.data(), want.bytes.size()), 0) << want.name;
  }
  const TensorInfo* query = model->find("model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(query, model->find("model.layers.0.self_attn.q_proj.weight"));
  model->forget();
  query = model->find("model.layers.0.self_attn.q_proj.weight");
  const TensorInfo* want = original.find("model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(std::memcmp(query->bytes.data(), want->bytes.data(), want->bytes.size()), 0);
  EXPECT_EQ(model->find("none"), nullptr);
}

TEST(GgufModelGolden, ConfigIsTheOriginals) {
  const auto model = GgufModel::open(kFixtures / "gguf" / "llama.gguf");
  const fs::path file = kFixtures / "models" / "llama" / "config.json";
  Json want = model_config_json(
      parse_model_config(parse_json(read_file(file), file.string()), file.string()));
  EXPECT_EQ(model->config(), want);
}

// Every type that the gguf package wrote has the values that it reads.
TEST(GgufModelGolden, ValuesOfEveryType) {
  const Gguf file = Gguf::open(kFixtures / "gguf" / "types.gguf");
  const SafeTensors expected = SafeTensors::open(kFixtures / "gguf" / "types.safetensors");
  ASSERT_EQ(file.tensors().size(), 7u);
  for (const GgufTensor& tensor : file.tensors()) {
    ASSERT_TRUE(tensor.dtype) << tensor.name;
    EXPECT_EQ(tensor.type, tensor.name);
    EXPECT_EQ(tensor.shape, (std::vector<int64_t>{2, 256}));
    std::vector<float> got(512), want(512);
    dequantize(*tensor.dtype, tensor.bytes.data(), 512, got.data());
    const TensorInfo* info = expected.find(tensor.name);
    ASSERT_NE(info, nullptr);
    copy_to_f32(*info, want.data());
    for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], want[i]) << tensor.name << " " << i;
  }
  const auto value = [&](const char* key) { return file.metadata().find(key)->second.value; };
  EXPECT_EQ(value("t.u64"), (uint64_t{1} << 63) + 1);
  EXPECT_EQ(value("t.i64"), -(int64_t{1} << 62));
  EXPECT_EQ(value("t.i16"), -30000);
  EXPECT_EQ(value("t.f32"), 0.1f);
  EXPECT_EQ(value("t.f64"), 0.1);
  EXPECT_EQ(value("t.bool"), true);
  EXPECT_EQ(value("t.string"), "zwölf");
  EXPECT_EQ(value("t.strings"), Json::array({"a", "", "ü"}));
  EXPECT_EQ(value("t.integers"), Json::array({1, -2, 3}));
  EXPECT_EQ(value("t.floats"), Json::array({0.5, -1.5}));
}

// A small file, for what is to be wrong about it.
class GgufModelFile : public testing::Test {
 protected:
  GgufModelFile() {
    for (const char* key : {"block_count", "context_length", "embedding_length",
                            "feed_forward_length", "attention.head_count"}) {
      metadata_[std::string("llama.") + key] = GgufValue::u32(2);
    }
    metadata_["general.architecture"] = GgufValue::string("llama");
    metadata_["llama.embedding_length"] = GgufValue::u32(256);
    metadata_["llama.attention.layer_norm_rms_epsilon"] = GgufValue::f32(1e-5);
    metadata_["llama.attention.head_count_kv"] = GgufValue::u32(1);
    metadata_["llama.rope.freq_base"] = GgufValue::f32(500000.0);
    tensors_ = {{"token_embd.weight", DType::kF32, {3, 256}}};
  }

  std::shared_ptr<GgufModel> open(const std::vector<float>& factors = {}) {
    GgufWriter writer(folder_ / "m.gguf", metadata_, tensors_);
    for (const TensorSpec& t : tensors_) {
      const std::string zeros(t.bytes(), '\0');
      const bool rope = t.name == "rope_freqs.weight";
      writer.write(rope ? std::as_bytes(std::span(factors)) : std::as_bytes(std::span(zeros)));
    }
    writer.commit();
    return GgufModel::open(folder_ / "m.gguf");
  }
  std::string error() {
    return error_of([&] { open(); });
  }

  TempFolder folder_;
  GgufMetadata metadata_;
  std::vector<TensorSpec> tensors_;
};

TEST_F(GgufModelFile, FillsInWhatMayBeMissing) {
  metadata_.erase("llama.attention.head_count_kv");
  metadata_.erase("llama.rope.freq_base");
  const Json config = open()->config();
  EXPECT_EQ(config["architectures"][0], "LlamaForCausalLM");
  EXPECT_EQ(config["num_key_value_heads"], 2);
  EXPECT_EQ(config["head_dim"], 128);
  EXPECT_EQ(config["rope_theta"], 10000.0);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_EQ(config["vocab_size"], 3);
  EXPECT_EQ(config["tie_word_embeddings"], true);
}

TEST_F(GgufModelFile, RefusesWhatIsNoModel) {
  EXPECT_EQ(error(), "no error");
  for (const auto& [key, value, message] :
       {std::tuple{"general.architecture", GgufValue::string("mamba"), "\"mamba\" is not one of"},
        {"llama.block_count", GgufValue::u32(4000000000), "2^31 - 1"},
        {"llama.block_count", GgufValue::u32(100000), "num_hidden_layers"},
        {"llama.block_count", GgufValue::string("2"), "whole number"},
        {"llama.attention.head_count", GgufValue::u32(0), "above 0"},
        {"llama.attention.head_count", {GgufType::kU32, Json::array({2, 2})}, "one whole number"},
        {"llama.attention.layer_norm_rms_epsilon", GgufValue::boolean(true), "expected a number"},
        {"llama.rope.scaling.type", GgufValue::string("linear"), "none or yarn"}}) {
    const GgufMetadata good = metadata_;
    metadata_[key] = value;
    EXPECT_HAS(error(), message);
    metadata_ = good;
  }
  metadata_.erase("llama.context_length");
  EXPECT_HAS(error(), "\"llama.context_length\": expected a number, found none");
}

TEST_F(GgufModelFile, RefusesTensorsThatCannotBe) {
  tensors_.push_back({"blk.0.attn_q.weight", DType::kF32, {100, 256}});
  EXPECT_HAS(error(), "whole heads of 128 rows");
  tensors_.back() = {"blk.0.ffn_up_exps.weight", DType::kF32, {4, 256}};
  EXPECT_HAS(error(), "one matrix an expert");
  tensors_.back() = {"blk.0.ffn_up_exps.weight", DType::kF32, {int64_t{1} << 40, 0, 256}};
  EXPECT_HAS(error(), "one matrix an expert");
  tensors_ = {{"other", DType::kF32, {2}}};
  EXPECT_HAS(error(), "token_embd.weight");
}

TEST_F(GgufModelFile, ATypeThatIsNotReadIsRefusedWhenAskedFor) {
  tensors_.push_back({"output_norm.weight", DType::kQ8_0, {256}});
  open();
  // Q8_0 is number 8; 10 is Q2_K, whose blocks are smaller.
  std::string bytes = read_file(folder_ / "m.gguf");
  const size_t at = bytes.find("output_norm.weight") + 18 + 4 + 8;
  ASSERT_EQ(bytes[at], 8);
  bytes[at] = 10;
  write_file_atomic(folder_ / "m.gguf", bytes);
  const auto model = GgufModel::open(folder_ / "m.gguf");
  EXPECT_EQ(model->tensors().size(), 2u);
  EXPECT_HAS(error_of([&] { model->find("model.norm.weight"); }), "Q2_K is not read");
}

TEST_F(GgufModelFile, ExpertsAreTensorsOfTheirOwn) {
  tensors_.push_back({"blk.1.ffn_up_exps.weight", DType::kF16, {3, 2, 256}});
  const auto model = open();
  const TensorInfo* first = model->find("model.layers.1.mlp.experts.0.up_proj.weight");
  const TensorInfo* last = model->find("model.layers.1.mlp.experts.2.up_proj.weight");
  ASSERT_NE(first, nullptr);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->shape, (std::vector<int64_t>{2, 256}));
  EXPECT_EQ(last->bytes.data() - first->bytes.data(), 2 * 2 * 256 * 2);
  EXPECT_EQ(model->find("model.layers.1.mlp.experts.3.up_proj.weight"), nullptr);
}

TEST_F(GgufModelFile, Llama3sRopeIsRecognizedByItsFactors) {
  ModelConfig config;
  config.rope_theta = 500000.0;
  config.head_dim = 128;
  config.rope_scaling.type = "llama3";
  config.rope_scaling.factor = 8;
  config.rope_scaling.original_max_position_embeddings = 8192;
  auto factors = gguf_rope_factors(config);
  ASSERT_EQ(factors.size(), 64u);
  EXPECT_EQ(factors.front(), 1.0f);
  EXPECT_EQ(factors.back(), 8.0f);
  tensors_.push_back({"rope_freqs.weight", DType::kF32, {64}});
  const Json scaling = open(factors)->config()["rope_scaling"];
  EXPECT_EQ(scaling["rope_type"], "llama3");
  EXPECT_EQ(scaling["factor"], 8.0);
  EXPECT_EQ(scaling["original_max_position_embeddings"], 8192);
  factors[40] *= 1.01f;
  EXPECT_HAS(error_of([&] { open(factors); }), "Llama 3.1's frequencies");
}

}  // namespace
}  // namespace r1
