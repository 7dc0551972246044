#include "package/model_files.h"

#include <gtest/gtest.h>

#include "backend/backend.h"
#include "base/files.h"
#include "base/testing.h"
#include "package/model_chat.h"

namespace r1 {
namespace {
namespace fs = std::filesystem;

// A model's folder as someone else wrote it.
fs::path other_model(const TempFolder& folder) {
  const fs::path path = folder / "theirs";
  make_folder(path);
  for (const auto& [name, text] : tokenizer_files("numbers")) write_file_atomic(path / name, text);
  const Tokenizer tokenizer = parse_tokenizer(tokenizer_files("numbers"), "numbers");
  ModelConfig c;
  c.architecture = "Qwen3ForCausalLM";
  c.hidden_size = 32;
  c.num_hidden_layers = 1;
  c.num_attention_heads = 2;
  c.num_key_value_heads = 1;
  c.head_dim = 16;
  c.intermediate_size = 48;
  c.vocab_size = tokenizer.vocab_size();
  c.max_position_embeddings = 64;
  c.rope_theta = 5e5;
  c.rms_norm_eps = 1e-5;
  c.eos_token_ids = {3, 1};
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model::create(parse_model_config(model_config_json(c), "test"), 1, *ops, DType::kF32).save(path);
  Json config = parse_json(read_file(path / "config.json"), "config.json");
  config["bos_token_id"] = 5;
  config["pad_token_id"] = 6;
  write_file_atomic(path / "config.json", config.dump());
  write_file_atomic(path / "generation_config.json",
                    R"({"do_sample": true, "temperature": 0.6, "top_p": 0.95, "top_k": 20,
                        "eos_token_id": [3, 1, 4], "transformers_version": "4.51.0"})");
  return path;
}

// Opened, trained and saved: the weights are new, what stands beside them is as it was.
TEST(SaveModel, KeepsWhatTheModelCameWith) {
  TempFolder folder;
  const ModelFiles before = open_model_files(other_model(folder));
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  Model model =
      Model::load(before.config, before.tensors, *ops, DType::kF32, Model::Use::kTraining);
  for (float& w : model.masters()) w += 0.25f;
  model.repack(*ops);
  save_model(folder / "ours", model, before);

  const ModelFiles after = open_model_files(folder / "ours");
  EXPECT_EQ(after.generation, before.generation);
  EXPECT_EQ(after.tokenizer, before.tokenizer);
  EXPECT_EQ(model_config_json(after.config), model_config_json(before.config));
  EXPECT_EQ(after.config_json, before.config_json);
  const auto defaults = generation_defaults(after.generation, "generation_config.json",
                                            std::nullopt, after.config.eos_token_ids);
  EXPECT_EQ(defaults.stop_ids, (std::vector<int32_t>{3, 1, 4}));
  EXPECT_EQ(defaults.sampling.temperature, 0.6);
  EXPECT_EQ(defaults.sampling.top_p, 0.95);
  EXPECT_EQ(defaults.sampling.top_k, 20);
  EXPECT_NE(read_file(folder / "ours" / "model.safetensors"),
            read_file(folder / "theirs" / "model.safetensors"));
}

// A new model came with nothing: it is sampled from as it was trained, and stops where it ends.
TEST(SaveModel, WritesDefaultsWhereThereWereNone) {
  TempFolder folder;
  ModelFiles files = open_model_files(other_model(folder));
  ThreadPool pool(1);
  const auto ops = make_ops(pool);
  const Model model =
      Model::load(files.config, files.tensors, *ops, DType::kF32, Model::Use::kTraining);
  ModelCompanions companions;
  companions.tokenizer = files.tokenizer;
  save_model(folder / "new", model, companions);
  const ModelFiles after = open_model_files(folder / "new");
  EXPECT_EQ(after.generation["temperature"], 1.0);
  EXPECT_EQ(after.generation["eos_token_id"], Json({3, 1}));
  EXPECT_FALSE(after.config_json.contains("bos_token_id"));
}

}  // namespace
}  // namespace r1
