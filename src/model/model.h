// A decoder's weights, laid out for the forward pass, and their gradients.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/ops.h"
#include "io/tensor_source.h"
#include "model/parameter_set.h"
#include "model/rope_table.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace r1 {

class Model {
 public:
  // What it is opened for, and so what it holds beside the packed weights that a forward pass
  // reads:
  //   kInference  float32 values of what is not packed, or nothing where files are read in place
  //   kScoring    the float32 masters: a reference or a teacher, which is scored, saved, refreshed
  //   kTraining   masters, and the transposed weights that backward reads
  enum class Use { kInference, kScoring, kTraining };

  Model(Model&&) = default;
  Model& operator=(Model&&) = default;

  // A model's memory is that of the ops which made it. They must outlive it, and it runs on them or
  // on others with the same memory.

  // Opens a Hugging Face folder. InputError names the file and the tensor that is wrong.
  // dtype is that of the products' packed weights, kF32 or kBF16; masters are float32. Without one
  // (kInference alone) the model is opened in place: matrices stay in their files, in the files'
  // own types, and take no memory.
  static Model load(const std::filesystem::path& folder, Ops& ops, std::optional<DType> dtype,
                    Use use);
  // The same of tensors from any kind of files.
  static Model load(const ModelConfig& config, std::shared_ptr<const TensorSource> files, Ops& ops,
                    std::optional<DType> dtype, Use use);

  // A new model: matrices normal with deviation 0.02, those that end a residual branch scaled by
  // 1 / sqrt(2 layers) (GPT-2, section 2.3), norms one, biases zero.
  static Model create(const ModelConfig& config, uint64_t seed, Ops& ops, DType dtype);

  // A copy with memory of its own, for scoring or for training. Of a model with masters.
  Model clone(Ops& ops, Use use) const;

  const ModelConfig& config() const { return config_; }
  DType dtype() const { return dtype_; }
  Use use() const { return use_; }

  // [V, C]; empty in a model opened in place.
  ConstTensor embedding() const { return weights_->embedding; }
  // out[t] = embedding[ids[t]]
  void embed(Ops& ops, std::span<const int32_t> ids, Tensor out) const;
  const std::vector<Block>& blocks() const { return weights_->blocks; }
  std::span<const float> final_norm() const { return weights_->final_norm; }
  const Linear& head() const { return weights_->head; }  // [V, C]
  // A row of rope_dim() for each of the first positions: cosines, then sines.
  ConstTensor cos_sin(int64_t positions, Ops& ops) const { return rope_->rows(positions, ops); }
  // Longest sequence it can run.
  int64_t max_positions() const { return rope_->positions(); }

  const ParameterSet& parameters() const { return *parameters_; }
  // The float32 values that are held, in one block: where each lies is parameters()'s to say.
  std::span<float> masters() { return {masters_.floats(), masters_.bytes() / sizeof(float)}; }
  std::span<const float> masters() const {
    return {masters_.floats(), masters_.bytes() / sizeof(float)};
  }
  // They are the backend's memory; this is a copy of the host's.
  std::vector<float> download_masters() const;
  // Copies the matrices that are read in place into memory of their own, laid out as the kernels
  // read them fastest (Ops::repack). What the model computes stays the same to the bit.
  void repack_mapped(Ops& ops);
  // Brings the packed weights up to date with the masters: after an optimizer step.
  void repack(Ops& ops);
  // Another one whenever what the model computes may have changed: what was computed before is of
  // other weights.
  uint64_t version() const { return version_; }

  // Writes config.json and model.safetensors, each atomically. Of a model with masters. What goes
  // with them is package/model_files.h's to save.
  void save(const std::filesystem::path& folder) const;

  // Bytes of weights held in memory: masters and packed copies.
  int64_t weight_bytes() const;
  // Bytes of weights read in place from files.
  int64_t mapped_bytes() const;
  // Bytes of weights that one token's forward pass reads: all but the rest of an embedding table.
  int64_t token_bytes() const;

 private:
  Model(const ModelConfig& config, DType dtype, Use use, Ops& ops)
      : config_(config), dtype_(dtype), use_(use), ops_(&ops) {}
  // Makes the weights and their memory, which is the caller's to fill.
  std::vector<Parameter> allocate(Ops& ops);
  // Whether float32 values of it are held: all in training, the embedding and vectors in inference,
  // vectors alone in place.
  bool keeps_master(const Parameter& p) const;
  float* master_of(const ParameterSet::Row& row) {
    return row.offset < 0 ? nullptr : masters_.floats() + row.offset;
  }
  void map(const Parameter& p, Ops& ops);
  void bind(const std::vector<Parameter>& table);
  void bind_linear(Linear& l, DType dtype, int64_t rows, int64_t cols, float* master);
  void place(PackedWeight Linear::*which, Ops& ops, Buffer& memory);

  ModelConfig config_;
  DType dtype_ = DType::kF32;
  Use use_ = Use::kInference;
  Ops* ops_;
  uint64_t version_ = 0;
  std::unique_ptr<ParameterSet> parameters_;  // stays where it is when the model moves
  Buffer masters_;                            // every parameter; kInference: embedding and vectors
  Buffer packed_, transposed_, repacked_;
  std::unique_ptr<RopeTable> rope_;
  std::shared_ptr<const TensorSource> files_;  // that the weights point into; null if none do
  std::vector<Buffer> copies_;                 // what of them ops cannot read in place
  std::unique_ptr<Weights> weights_;           // stays where it is when the model moves
  std::vector<Linear*> linears_;               // its matrices
};

// One float of gradient for each trained value: ParameterSet::Row::trained says where.
class Gradients {
 public:
  // The model must be of Use::kTraining and outlive them, as must ops. They start as zeros.
  Gradients(const Model& model, Ops& ops)
      : masters_(model.masters().data()),
        parameters_(&model.parameters()),
        ops_(&ops),
        memory_(Buffer::of_floats(parameters_->trained_floats(), ops.memory())) {}

  // The gradient of a view of the masters of a trained parameter.
  Tensor of(Tensor master) { return {at(master.data), master.rows, master.cols}; }
  float* of(std::span<const float> master) { return at(master.data()); }
  float* of(const float* master) { return at(master); }

  std::span<float> all() { return {memory_.floats(), memory_.bytes() / sizeof(float)}; }
  size_t bytes() const { return memory_.bytes(); }
  void clear() { ops_->zero(memory_.data(), memory_.bytes()); }

 private:
  float* at(const float* master);

  const float* masters_;
  const ParameterSet* parameters_;
  Ops* ops_;
  Buffer memory_;
};

}  // namespace r1
