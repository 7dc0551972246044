// A decoder's weights as the forward pass sees them, and the table that gives each its name and
// shape. The table is the one place that knows them: loading, saving, binding, initialization, the
// optimizer and the gradient tests all walk it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "backend/ops.h"
#include "model/config.h"

namespace r1 {

// A matrix [N, K] of a product. `master` is the float32 original (empty in a model opened for
// inference); `packed` is what forward reads, `transposed` what backward reads (empty likewise).
struct Linear {
  Tensor master;
  const float* bias = nullptr;
  PackedWeight packed, transposed;
};

// Grouped-query attention (attention_gqa.h).
struct Gqa {
  struct Saved;
  Linear qkv;                       // rows: q, k, v
  std::span<float> q_norm, k_norm;  // empty but for Qwen3
  Linear out;
};

// The gated feed-forward part (swiglu.h).
struct Swiglu {
  struct Saved;
  Linear gate_up;  // rows: gate, up
  Linear down;
};

struct Block {
  std::span<float> attention_norm;
  std::variant<Gqa> attention;
  std::span<float> mlp_norm;
  std::variant<Swiglu> mlp;
};

struct Weights {
  Tensor embedding;  // [V, C]
  std::vector<Block> blocks;
  std::span<float> final_norm;
  Linear head;  // [V, C]; its master is the embedding's where tied
};

// One parameter: ours is `rows` x `cols` (cols = 1 for a vector), stored in Hugging Face files as
// one or several tensors stacked by rows (q, k and v; gate and up).
struct ParameterSpec {
  struct Part {
    std::string name;  // in the Hugging Face file
    int64_t rows;
  };
  std::string name;  // ours, e.g. "layers.3.qkv"
  int64_t rows = 0, cols = 0;
  bool vector = false;
  std::vector<Part> parts;
  // Where a new model begins: vectors at this value, matrices normal with this deviation.
  double initial = 0;
  int64_t size() const { return rows * cols; }
};

// A parameter and where its values are bound.
struct Parameter {
  using Slot = std::variant<Tensor*, std::span<float>*, const float**, Linear*>;
  ParameterSpec spec;
  Slot slot;
};

// What the architectures' files fill in (arch_*.cc).
class ParameterTable {
 public:
  explicit ParameterTable(const ModelConfig& config) : config_(config) {}

  // Names that follow begin with `ours`, and with `theirs` in the file.
  void prefix(std::string ours, std::string theirs);
  // Parts' names are the file's, after the prefix.
  void vector(const char* name, std::span<float>& slot, std::vector<ParameterSpec::Part> parts);
  void bias(const char* name, Linear& slot, std::vector<ParameterSpec::Part> parts);
  void matrix(const char* name, Linear& slot, int64_t cols, std::vector<ParameterSpec::Part> parts);
  // A matrix that ends a residual branch: it begins smaller, by 1 / sqrt(2 layers) (GPT-2, section
  // 2.3).
  void branch_end(const char* name, Linear& slot, int64_t cols,
                  std::vector<ParameterSpec::Part> parts);
  void embedding(const char* name, Tensor& slot, std::vector<ParameterSpec::Part> parts);

  // What several architectures have in common, by the names that all of them use.
  void attention(Gqa& slot);
  void mlp(Swiglu& slot, int64_t width);

  const ModelConfig& config() const { return config_; }
  std::vector<Parameter> take() { return std::move(rows_); }

 private:
  ParameterSpec& add(const char* name, int64_t cols, std::vector<ParameterSpec::Part> parts,
                     Parameter::Slot slot);

  const ModelConfig& config_;
  std::string ours_, theirs_;
  std::vector<Parameter> rows_;
};

// All parameters in the order they are stored: embedding, blocks, final norm, head. Makes `weights`
// as the architecture has it, with every view still empty; the slots point into it.
std::vector<Parameter> parameter_table(const ModelConfig& config, Weights& weights);

// The same without weights.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

}  // namespace r1
