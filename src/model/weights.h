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
// inference); forward reads `mapped`, the tensors of the file that are stacked in it, where the
// model was opened in place, else `packed`; backward reads `transposed`. n and k of `packed` always
// hold.
struct Linear {
  Tensor master;
  const float* bias = nullptr;
  std::vector<MappedWeight> mapped;
  PackedWeight packed, transposed;
  bool flipped = false;  // the product is with the matrix's transpose: rows of N become rows of K

  // swiglu of the product, which is kept where gate_up has data.
  void multiply_swiglu(Ops& ops, ConstTensor x, Tensor gate_up, Tensor out) const {
    if (mapped.empty()) {
      ops.matmul_swiglu(x, packed, gate_up, out);
    } else {
      ops.matmul_mapped_swiglu(x, mapped, gate_up, out);
    }
  }

  void multiply(Ops& ops, ConstTensor x, Tensor out) const {
    if (mapped.empty()) {
      ops.matmul(x, packed, bias, false, out);
    } else {
      ops.matmul_mapped(x, mapped, bias, false, out);
    }
  }
};

// Grouped-query attention (attention_gqa.h).
struct Gqa {
  struct Saved;
  Linear qkv;                       // rows: q, k, v
  std::span<float> q_norm, k_norm;  // empty but for Qwen3
  Linear out;
};

// Multi-head latent attention (attention_mla.h).
struct Mla {
  struct Saved;
  Linear qkv_a;  // rows: the compressed query (or, without compression, the query), latent, k_rope
  std::span<float> q_norm, kv_norm;  // q_norm is empty without compression
  Linear q_b;                        // likewise
  Linear kv_b;                       // expanded form: each head's rows of keys, then of values
  std::vector<Linear> k_b, v_b;      // absorbed form: the same by heads; k_b flipped
  Linear out;
};

// The gated feed-forward part (swiglu.h).
struct Swiglu {
  struct Saved;
  Linear gate_up;  // rows: gate, up
  Linear down;
};

// A mixture of such parts (moe.h).
struct Moe {
  struct Saved;
  Linear router;
  std::span<float> correction_bias;  // of scores, for the choice alone; empty but for DeepSeek-V3
  std::vector<Swiglu> experts;
  std::vector<Swiglu> shared;  // one, or none
};

struct Block {
  std::span<float> attention_norm;
  std::variant<Gqa, Mla> attention;
  std::span<float> mlp_norm;
  std::variant<Swiglu, Moe> mlp;
};

struct Weights {
  Tensor embedding;             // [V, C]; empty where the model was opened in place, which reads
  MappedWeight embedding_rows;  // the file's
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
  double share = 1;     // of tokens that use it: an expert's is below 1
  bool exact = false;   // products with it are float32 whatever the model's type (a router)
  bool trained = true;  // false: no gradient (a router's correction bias)
  int64_t size() const { return rows * cols; }
};

// A parameter and where its values are bound.
struct Parameter {
  // Rows [row, row + rows) of the matrix.
  struct Rows {
    Linear* linear;
    int64_t row, rows;
  };
  using Slot = std::variant<Tensor*, std::span<float>*, const float**, std::vector<Rows>>;
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
  ParameterSpec& vector(const std::string& name, std::span<float>& slot,
                        std::vector<ParameterSpec::Part> parts);
  ParameterSpec& bias(const std::string& name, Linear& slot,
                      std::vector<ParameterSpec::Part> parts);
  ParameterSpec& matrix(const std::string& name, Linear& slot, int64_t cols,
                        std::vector<ParameterSpec::Part> parts);
  // A matrix that ends a residual branch: it begins smaller, by 1 / sqrt(2 layers) (GPT-2, section
  // 2.3).
  ParameterSpec& branch_end(const std::string& name, Linear& slot, int64_t cols,
                            std::vector<ParameterSpec::Part> parts);
  ParameterSpec& embedding(const std::string& name, Tensor& slot,
                           std::vector<ParameterSpec::Part> parts);

  // What several architectures have in common, by the names that all of them use.
  void attention(Gqa& slot);
  void attention(Mla& slot);
  void mlp(Swiglu& slot);
  void mlp(Moe& slot);

  const ModelConfig& config() const { return config_; }
  std::vector<Parameter> take() { return std::move(rows_); }

 private:
  void mlp(Swiglu& slot, int64_t width, const std::string& ours, const std::string& theirs);
  ParameterSpec& add(const std::string& name, int64_t cols, std::vector<ParameterSpec::Part> parts,
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
