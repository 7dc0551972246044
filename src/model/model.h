// A decoder's weights, laid out for the forward pass, and their gradients.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/ops.h"
#include "io/tensor_source.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace r1 {

// A matrix [N, K] of a product. `master` is the float32 original (empty in a model opened for
// inference); `packed` is what forward reads, `transposed` what backward reads (empty likewise).
struct Linear {
  Tensor master;
  const float* bias = nullptr;
  PackedWeight packed, transposed;
};

struct Block {
  std::span<float> attention_norm;
  Linear qkv;                       // rows: q, k, v
  std::span<float> q_norm, k_norm;  // empty but for Qwen3
  Linear attention_out;
  std::span<float> mlp_norm;
  Linear gate_up;  // rows: gate, up
  Linear down;
};

class Model {
 public:
  enum class Use { kInference, kTraining };

  Model(Model&&) = default;
  Model& operator=(Model&&) = default;

  // Opens a Hugging Face folder. InputError names the file and the tensor that is wrong.
  // dtype is that of the products' weights, kF32 or kBF16; masters are float32.
  static Model load(const std::filesystem::path& folder, Ops& ops, DType dtype, Use use);
  // The same of tensors from any kind of files.
  static Model load(const ModelConfig& config, std::shared_ptr<const TensorSource> files, Ops& ops,
                    DType dtype, Use use);

  // A new model: matrices normal with deviation 0.02, those that end a residual branch scaled by
  // 1 / sqrt(2 layers) (GPT-2, section 2.3), norms one, biases zero.
  static Model create(const ModelConfig& config, uint64_t seed, Ops& ops, DType dtype);

  // A copy with memory of its own: the reference of a KL term. kTraining alone.
  Model clone(Ops& ops) const;

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  Use use() const { return use_; }

  ConstTensor embedding() const { return embedding_; }  // [V, C]
  const std::vector<Block>& blocks() const { return blocks_; }
  std::span<const float> final_norm() const { return final_norm_; }
  const Linear& head() const { return head_; }  // [V, C]; its master is the embedding's where tied
  ConstTensor cos_sin() const { return {cos_sin_.floats(), max_positions(), config_.head_dim}; }
  // Longest sequence it can run.
  int64_t max_positions() const { return max_positions_; }

  // All trained values in one block, in the order of parameter_specs(). For kTraining alone.
  std::span<float> masters() { return {masters_.floats(), masters_.bytes() / sizeof(float)}; }
  std::span<const float> masters() const {
    return {masters_.floats(), masters_.bytes() / sizeof(float)};
  }
  // f(spec, offset of its first value in masters()) for each parameter in order. kTraining alone.
  void each_parameter(
      const std::function<void(const ParameterSpec& spec, int64_t offset)>& f) const;
  // Brings the packed weights up to date with the masters: after an optimizer step.
  void repack(Ops& ops);

  // Writes config.json, model.safetensors and generation_config.json, each atomically. kTraining
  // alone. The tokenizer's file is its owner's to save.
  void save(const std::filesystem::path& folder) const;

  // Bytes of weights held: masters and packed copies.
  int64_t weight_bytes() const;

 private:
  Model() = default;
  void allocate();
  void bind_parameters(float* base, bool matrices);
  void make_rope_table();
  void each_linear(auto&& f);

  ModelConfig config_;
  DType dtype_ = DType::kF32;
  Use use_ = Use::kInference;
  int64_t max_positions_ = 0;
  Buffer masters_;  // kTraining: every parameter; kInference: embedding and vectors
  Buffer packed_, transposed_, cos_sin_;
  Tensor embedding_;
  std::vector<Block> blocks_;
  std::span<float> final_norm_;
  Linear head_;
};

// One float of gradient for each master, in the same order.
class Gradients {
 public:
  explicit Gradients(const Model& model)
      : model_base_(model.masters().data()), memory_(model.masters().size_bytes()) {}

  // The gradient of a view of the masters.
  Tensor of(Tensor master) { return {at(master.data), master.rows, master.cols}; }
  float* of(std::span<const float> master) { return at(master.data()); }
  float* of(const float* master) { return at(master); }

  std::span<float> all() { return {memory_.floats(), memory_.bytes() / sizeof(float)}; }
  void clear();

 private:
  float* at(const float* master) { return memory_.floats() + (master - model_base_); }

  const float* model_base_;
  Buffer memory_;
};

}  // namespace r1
