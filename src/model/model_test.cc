#include "model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "backend/backend.h"
#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "base/testing.h"
#include "io/safetensors.h"
#include "model/decoder.h"
#include "model/testing.h"
#include "model/token_scores.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

ModelConfig tiny(const std::string& architecture, bool tied) {
  return any_config(architecture, {{"hidden_size", 24},
                                   {"num_attention_heads", 4},
                                   {"head_dim", 10},
                                   {"intermediate_size", 36},
                                   {"vocab_size", 57},
                                   {"max_position_embeddings", 64},
                                   {"rope_theta", 5000.0},
                                   {"rms_norm_eps", 1e-5},
                                   {"tie_word_embeddings", tied},
                                   {"eos_token_id", {5, 7}}});
}

// Every value random, norms and biases too: a parameter that is mixed up with another shows.
Model random_model(const ModelConfig& config, Ops& ops) {
  Model m = Model::create(config, 3, ops, DType::kF32);
  Rng rng(4);
  change_masters(m, ops, [&](std::span<float> masters) {
    for (const ParameterSet::Row& row : m.parameters()) {
      for (int64_t i = row.offset; i < row.offset + row.spec.size(); ++i) {
        masters[static_cast<size_t>(i)] += static_cast<float>(0.2 * rng.normal());
      }
    }
  });
  return m;
}

std::vector<float> logits_of(const Model& m, Ops& ops) {
  const ModelConfig& c = m.config();
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i) ids.push_back((i * i + 3 * i) % static_cast<int32_t>(57));
  std::vector<int32_t> pages = {2, 0, 1};
  KvCache kv(c, c.num_hidden_layers, 3, ops.memory());
  Activations memory(Activations::Keep::kNothing, ops.memory());
  Batch b;
  b.add(ids, 0, pages.data(), 0);
  for (int32_t i = 0; i < 40; ++i) b.outputs.push_back(i);
  Buffer hidden = Buffer::of_floats(40 * c.hidden_size, ops.memory());
  const Tensor h(hidden.floats(), 40, c.hidden_size);
  forward(m, b, kv, ops, memory, h);
  Buffer rows = Buffer::of_floats(40 * c.vocab_size, ops.memory());
  compute_logits(m, h, ops, {rows.floats(), 40, c.vocab_size});
  const std::vector<float> logits =
      downloaded(ops, {rows.floats(), static_cast<size_t>(40 * c.vocab_size)});
  for (const float x : logits) EXPECT_TRUE(std::isfinite(x));
  return logits;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class ModelFiles : public testing::Test {
 protected:
  Model load(const fs::path& folder, Model::Use use = Model::Use::kTraining) {
    return Model::load(folder, *ops_, DType::kF32, use);
  }
  // The error of opening, after checking that it is one line.
  std::string error_of(const fs::path& folder) {
    for (const auto use : {Model::Use::kTraining, Model::Use::kInference}) {
      try {
        load(folder, use);
      } catch (const InputError& e) {
        error_ = e.what();
        EXPECT_EQ(error_.find('\n'), std::string::npos) << error_;
        continue;
      }
      return "no error";
    }
    return error_;
  }
  ThreadPool pool_{2};
  std::unique_ptr<Ops> ops_ = make_ops(pool_);
  std::string error_;
};

// A model's tensors, to be changed and written again.
struct Files {
  explicit Files(const fs::path& folder) {
    const SafeTensors file = SafeTensors::open(folder);
    for (const TensorInfo& t : file.tensors()) {
      tensors[t.name] = {t.dtype, t.shape, std::vector<std::byte>(t.bytes.begin(), t.bytes.end())};
    }
  }
  struct Entry {
    DType dtype = DType::kF32;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, Entry> tensors;

  // Those whose turn it is among `of` shards.
  void write(const fs::path& path, size_t shard = 0, size_t of = 1) const {
    std::vector<TensorOut> out;
    size_t i = 0;
    for (const auto& [name, e] : tensors) {
      if (i++ % of == shard) out.push_back({name, e.dtype, e.shape, e.bytes});
    }
    write_safetensors(path, out, {{"format", "pt"}});
  }
  // Two shards and their index, which is returned.
  Json write_sharded(const fs::path& folder) const {
    fs::remove(folder / "model.safetensors");
    const std::string shards[] = {"model-00001-of-00002.safetensors",
                                  "model-00002-of-00002.safetensors"};
    Json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", Json::object()}};
    size_t i = 0;
    for (const auto& [name, e] : tensors) index["weight_map"][name] = shards[i++ % 2];
    for (size_t s = 0; s < 2; ++s) write(folder / shards[s], s, 2);
    write_index(folder, index);
    return index;
  }
  static void write_index(const fs::path& folder, const Json& index) {
    write_file_atomic(folder / "model.safetensors.index.json", index.dump());
  }
  // Every tensor's type becomes a 16-bit one, its values those of `bits` (i-th of all).
  void make_half(DType dtype, const std::function<uint16_t(size_t)>& bits) {
    size_t next = 0;
    for (auto& [name, e] : tensors) {
      e.dtype = dtype;
      e.bytes.resize(e.bytes.size() / 2);
      for (size_t i = 0; i < e.bytes.size(); i += 2) {
        const uint16_t value = bits(next++);
        std::memcpy(e.bytes.data() + i, &value, 2);
      }
    }
  }
};

TEST_F(ModelFiles, SaveAndLoadGiveTheSameBits) {
  for (const std::string& architecture : architecture_names()) {
    for (const bool tied : {false, true}) {
      const TempFolder folder;
      const Model m = random_model(tiny(architecture, tied), *ops_);
      m.save(folder.path());
      const Model training = load(folder.path());
      EXPECT_EQ(model_config_json(training.config()), model_config_json(m.config()));
      EXPECT_TRUE(same_bits(training.download_masters(), m.download_masters()))
          << architecture << tied;
      const std::vector<float> expected = logits_of(m, *ops_);
      EXPECT_TRUE(same_bits(logits_of(training, *ops_), expected)) << architecture << tied;
      const Model inference = load(folder.path(), Model::Use::kInference);
      EXPECT_TRUE(same_bits(logits_of(inference, *ops_), expected)) << architecture << tied;
      EXPECT_LT(inference.weight_bytes(), training.weight_bytes());
      EXPECT_TRUE(same_bits(logits_of(m.clone(*ops_, Model::Use::kTraining), *ops_), expected));
      const Model scoring = m.clone(*ops_, Model::Use::kScoring);
      EXPECT_TRUE(same_bits(logits_of(scoring, *ops_), expected));
      EXPECT_TRUE(same_bits(scoring.download_masters(), m.download_masters()));
      EXPECT_LT(scoring.weight_bytes(), training.weight_bytes());
      // Saved again, the same bytes.
      const TempFolder again;
      training.save(again.path());
      for (const char* name : {"config.json", "model.safetensors"}) {
        EXPECT_EQ(read_file(again / name), read_file(folder / name)) << name;
      }
      const auto file = SafeTensors::open(folder.path());
      EXPECT_EQ(file.find("lm_head.weight") == nullptr, tied);
    }
  }
}

TEST_F(ModelFiles, InferenceGivesTrainingsLogitsInBf16Too) {
  for (const std::string& architecture : architecture_names()) {
    const TempFolder folder;
    random_model(tiny(architecture, architecture != "LlamaForCausalLM"), *ops_).save(folder.path());
    using enum Model::Use;
    const Model training = Model::load(folder.path(), *ops_, DType::kBF16, kTraining);
    const Model inference = Model::load(folder.path(), *ops_, DType::kBF16, kInference);
    const std::vector<float> expected = logits_of(training, *ops_);
    EXPECT_TRUE(same_bits(logits_of(inference, *ops_), expected));
    EXPECT_FALSE(same_bits(logits_of(load(folder.path()), *ops_), expected));  // f32 differs
  }
}

TEST_F(ModelFiles, ReadsBf16AndF16) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const TempFolder folder;
    random_model(tiny("Qwen2ForCausalLM", false), *ops_).save(folder.path());
    Files files(folder.path());
    // All finite bit patterns in turn, subnormal ones too.
    const uint16_t infinity = dtype == DType::kBF16 ? 0x7f80 : 0x7c00;
    files.make_half(dtype, [&](size_t i) {
      return static_cast<uint16_t>(i * 7 % infinity | (i % 2 ? 0x8000u : 0u));
    });
    files.write(folder / "model.safetensors");
    const Model loaded = load(folder.path());
    const std::vector<float> masters = loaded.download_masters();
    for (const ParameterSet::Row& row : loaded.parameters()) {
      const ParameterSpec& p = row.spec;
      const float* value = masters.data() + row.offset;
      for (const auto& part : p.parts) {
        const auto& bytes = files.tensors.at(part.name).bytes;
        for (size_t i = 0; i < bytes.size(); i += 2) {
          uint16_t bits;
          std::memcpy(&bits, bytes.data() + i, 2);
          const float expected = dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
          ASSERT_EQ(*value++, expected) << part.name << " " << i;
        }
      }
    }
  }
}

// Matrices in float8, with a scale for each block of 128 x 128 and edges that no block fills; and
// the layer of multi-token prediction, which is passed over: as DeepSeek-V3 is published.
TEST_F(ModelFiles, ReadsFloat8WithBlockScales) {
  const TempFolder folder;
  const ModelConfig config = any_config("DeepseekV3ForCausalLM", {{"hidden_size", 150}});
  random_model(config, *ops_).save(folder.path());
  Files files(folder.path());
  std::map<std::string, std::vector<float>> expected;
  for (const auto& [name, entry] : Files(folder.path()).tensors) {
    if (entry.shape.size() != 2 || name.find("proj") == std::string::npos) continue;
    const int64_t rows = entry.shape[0], cols = entry.shape[1];
    const int64_t row_blocks = (rows + 127) / 128, col_blocks = (cols + 127) / 128;
    Files::Entry scales{DType::kF32, {row_blocks, col_blocks}, {}};
    std::vector<float> factor;
    for (int64_t i = 0; i < row_blocks * col_blocks; ++i) {
      factor.push_back(0.25f + static_cast<float>(i));
    }
    scales.bytes.resize(factor.size() * 4);
    std::memcpy(scales.bytes.data(), factor.data(), scales.bytes.size());
    Files::Entry& weights = files.tensors[name];
    weights.dtype = DType::kF8E4M3;
    weights.bytes.resize(static_cast<size_t>(rows * cols));
    for (int64_t i = 0; i < rows * cols; ++i) {
      const auto bits = static_cast<uint8_t>(i * 7 % 127 | (i % 2) << 7);
      weights.bytes[static_cast<size_t>(i)] = std::byte{bits};
      const int64_t block = i / cols / 128 * col_blocks + i % cols / 128;
      expected[name].push_back(f8e4m3_to_f32(bits) * factor[static_cast<size_t>(block)]);
    }
    files.tensors[name + "_scale_inv"] = scales;
  }
  ASSERT_GT(expected.size(), 20u);
  files.tensors["model.layers.2.eh_proj.weight"] = {DType::kBF16, {1}, std::vector<std::byte>(2)};
  files.write(folder / "model.safetensors");
  Json json = Json::parse(read_file(folder / "config.json"));
  json["num_nextn_predict_layers"] = 1;
  write_file_atomic(folder / "config.json", json.dump());

  const Model loaded = load(folder.path());
  const std::vector<float> masters = loaded.download_masters();
  for (const ParameterSet::Row& row : loaded.parameters()) {
    const ParameterSpec& p = row.spec;
    const float* value = masters.data() + row.offset;
    for (const auto& part : p.parts) {
      const std::span<const float> got(value, static_cast<size_t>(part.rows * p.cols));
      value += got.size();
      if (expected.contains(part.name)) {
        EXPECT_TRUE(same_bits(got, expected[part.name])) << part.name;
      }
    }
  }
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  files.tensors[name + "_scale_inv"].shape = {1, 2};
  files.tensors[name + "_scale_inv"].bytes.resize(8);
  files.write(folder / "model.safetensors");
  EXPECT_HAS(error_of(folder.path()), "tensor '" + name + "_scale_inv' has shape [1, 2]");
  files.tensors.erase(name + "_scale_inv");
  files.write(folder / "model.safetensors");
  EXPECT_HAS(error_of(folder.path()), "tensor '" + name + "_scale_inv' is missing");
}

TEST_F(ModelFiles, ReadsShards) {
  const TempFolder folder;
  const Model m = random_model(tiny("Qwen3ForCausalLM", false), *ops_);
  m.save(folder.path());
  Files files(folder.path());
  // Old Llama folders hold buffers that are no parameters.
  files.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {
      DType::kF32, {2}, std::vector<std::byte>(8)};
  const Json index = files.write_sharded(folder.path());
  EXPECT_TRUE(same_bits(load(folder.path()).download_masters(), m.download_masters()));

  const std::string head = "lm_head.weight", norm = "model.norm.weight";
  auto with = [&](const std::string& name, const Json& shard) {
    Json changed = index;
    changed["weight_map"][name] = shard;
    Files::write_index(folder.path(), changed);
    return error_of(folder.path());
  };
  EXPECT_HAS(with(head, "model-00003-of-00002.safetensors"), "model-00003-of-00002.safetensors");
  const fs::path outside = folder.path().parent_path() / "r1-model-test-outside.safetensors";
  fs::copy_file(folder / "model-00001-of-00002.safetensors", outside,
                fs::copy_options::overwrite_existing);
  EXPECT_HAS(with(head, "../" + outside.filename().string()), "same folder");
  EXPECT_HAS(with(head, outside.string()), "same folder");
  fs::remove(outside);
  for (const Json& shard : {Json(".."), Json(""), Json(1), Json(), Json(Json::array())}) {
    EXPECT_HAS(with(head, shard), head);
  }
  // The other shard does not hold it.
  const std::string mine = index["weight_map"][norm];
  for (const std::string other :
       {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    EXPECT_EQ(with(norm, other) == "no error", other == mine);
  }
  Json less = index;
  less["weight_map"].erase(norm);
  Files::write_index(folder.path(), less);
  EXPECT_HAS(error_of(folder.path()), "tensor '" + norm + "' is missing");
  for (const char* text : {"", "[]", "{}", R"({"weight_map": []})", R"({"weight_map": {}})"}) {
    write_file_atomic(folder / "model.safetensors.index.json", text);
    EXPECT_NE(error_of(folder.path()), "no error") << text;
  }
  Files::write_index(folder.path(), index);
  EXPECT_EQ(error_of(folder.path()), "no error");
}

TEST_F(ModelFiles, RefusesTensorsThatDoNotFit) {
  const TempFolder folder;
  random_model(tiny("Qwen3ForCausalLM", true), *ops_).save(folder.path());
  const Files good(folder.path());
  for (const auto& [name, entry] : good.tensors) {
    Files files = good;
    files.tensors.erase(name);
    files.write(folder / "model.safetensors");
    EXPECT_HAS(error_of(folder.path()), "tensor '" + name + "' is missing");
    // Transposed or of another rank: as many values, but not these.
    files = good;
    auto& shape = files.tensors[name].shape;
    if (shape.size() == 2 && shape[0] != shape[1]) {
      std::swap(shape[0], shape[1]);
    } else {
      shape.push_back(1);
    }
    files.write(folder / "model.safetensors");
    const std::string error = error_of(folder.path());
    EXPECT_HAS(error, "tensor '" + name + "' has shape " + shape_text(shape));
    EXPECT_HAS(error, shape_text(entry.shape));
    files = good;
    files.tensors[name].dtype = DType::kI32;
    files.write(folder / "model.safetensors");
    EXPECT_HAS(error_of(folder.path()), "tensor '" + name + "' has dtype I32");
  }
  Files extra = good;
  extra.tensors["model.layers.9.mlp.up_proj.weight"] = {
      DType::kF32, {1, 1}, std::vector<std::byte>(4)};
  extra.write(folder / "model.safetensors");
  EXPECT_EQ(error_of(folder.path()), "no error");
}

// What config.json claims must not cost memory before the file bears it out.
TEST_F(ModelFiles, RefusesAConfigThatTheFileDoesNotBearOut) {
  const TempFolder folder;
  random_model(tiny("LlamaForCausalLM", true), *ops_).save(folder.path());
  const Json good = Json::parse(read_file(folder / "config.json"));
  const std::pair<const char*, int64_t> claims[] = {
      {"hidden_size", 1 << 20},    {"intermediate_size", 1 << 22}, {"vocab_size", 1 << 24},
      {"num_hidden_layers", 1024}, {"num_attention_heads", 1024},  {"head_dim", 1024},
      {"num_hidden_layers", 3}};
  for (const auto& [key, value] : claims) {
    Json json = good;
    json[key] = value;
    write_file_atomic(folder / "config.json", json.dump());
    EXPECT_HAS(error_of(folder.path()), "tensor '") << key;
  }
  write_file_atomic(folder / "config.json", good.dump());
  EXPECT_EQ(error_of(folder.path()), "no error");
  for (const char* text : {"", "{", "null", "{}"}) {
    write_file_atomic(folder / "config.json", text);
    EXPECT_HAS(error_of(folder.path()), "config.json") << text;
  }
  fs::remove(folder / "config.json");
  EXPECT_HAS(error_of(folder.path()), "config.json");
}

TEST_F(ModelFiles, RefusesATruncatedFile) {
  const TempFolder folder;
  random_model(tiny("LlamaForCausalLM", true), *ops_).save(folder.path());
  const fs::path path = folder / "model.safetensors";
  const std::string bytes = read_file(path);
  for (const size_t size :
       {size_t{0}, size_t{7}, size_t{8}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_file_atomic(path, std::string_view(bytes).substr(0, size));
    EXPECT_HAS(error_of(folder.path()), "model.safetensors") << size;
  }
  fs::remove(path);
  EXPECT_HAS(error_of(folder.path()), "model.safetensors");
}

TEST_F(ModelFiles, SaveThatFailsLeavesTheOldModel) {
  const TempFolder folder;
  const Model old = random_model(tiny("LlamaForCausalLM", true), *ops_);
  old.save(folder.path());
  const Model other = Model::create(tiny("LlamaForCausalLM", true), 9, *ops_, DType::kF32);
  {
    const FileSizeLimit full_disk(5000);
    EXPECT_THROW(other.save(folder.path()), JobError);
  }
  EXPECT_TRUE(same_bits(load(folder.path()).download_masters(), old.download_masters()));
  EXPECT_EQ(folder.entries(), 2);
}

TEST(Model, CreateDependsOnTheSeedAlone) {
  std::vector<float> first;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const auto ops = make_ops(pool);
    const Model m = Model::create(tiny("Qwen3ForCausalLM", false), 5, *ops, DType::kF32);
    if (first.empty()) first = m.download_masters();
    EXPECT_TRUE(same_bits(first, m.download_masters()));
    const Model n = Model::create(tiny("Qwen3ForCausalLM", false), 6, *ops, DType::kF32);
    EXPECT_FALSE(same_bits(first, n.download_masters()));
  }
}

TEST(Model, CloneIsApart) {
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model m = random_model(tiny("Qwen2ForCausalLM", true), *ops);
  const Model copy = m.clone(*ops, Model::Use::kScoring);
  const std::vector<float> before = logits_of(m, *ops);
  change_masters(m, *ops, [](std::span<float> masters) {
    for (float& w : masters) w *= 0.5f;
  });
  EXPECT_TRUE(same_bits(logits_of(copy, *ops), before));
  EXPECT_FALSE(same_bits(logits_of(m, *ops), before));
}

}  // namespace
}  // namespace r1
