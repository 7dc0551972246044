#include "bench/shapes.h"

#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "bench/random_weights.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace r1 {
namespace {

struct Shape {
  const char* name;
  const char* config;
};

constexpr Shape kShapes[] = {
    {"countdown", R"({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 128,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32, "intermediate_size": 384, "vocab_size": 496,
        "max_position_embeddings": 512, "rope_theta": 10000.0, "rms_norm_eps": 1e-06,
        "tie_word_embeddings": true})"},
    {"qwen2.5-0.5b", R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 896,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "intermediate_size": 4864, "vocab_size": 151936, "max_position_embeddings": 32768,
        "rope_theta": 1000000.0, "rms_norm_eps": 1e-06, "tie_word_embeddings": true})"},
    {"r1-distill-qwen-1.5b", R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 1536,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "intermediate_size": 8960, "vocab_size": 151936, "max_position_embeddings": 131072,
        "rope_theta": 10000.0, "rms_norm_eps": 1e-06, "tie_word_embeddings": false})"},
    {"r1-distill-qwen-7b", R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "intermediate_size": 18944, "vocab_size": 152064, "max_position_embeddings": 131072,
        "rope_theta": 10000.0, "rms_norm_eps": 1e-06, "tie_word_embeddings": false})"},
    {"llama-3.2-1b", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 2048,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 64, "intermediate_size": 8192, "vocab_size": 128256,
        "max_position_embeddings": 131072, "rope_theta": 500000.0, "rms_norm_eps": 1e-05,
        "tie_word_embeddings": true})"},
    {"deepseek-r1", R"({"architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168,
        "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128,
        "intermediate_size": 18432, "vocab_size": 129280, "max_position_embeddings": 163840,
        "rope_theta": 10000.0, "rope_scaling": {"type": "yarn", "factor": 40, "beta_fast": 32,
        "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096}, "rms_norm_eps": 1e-06,
        "tie_word_embeddings": false, "q_lora_rank": 1536, "kv_lora_rank": 512,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048, "first_k_dense_replace": 3, "moe_layer_freq": 1,
        "n_group": 8, "topk_group": 4, "topk_method": "noaux_tc", "scoring_func": "sigmoid",
        "norm_topk_prob": true, "routed_scaling_factor": 2.5})"},
};

class RandomFiles : public TensorSource {
 public:
  RandomFiles(const ModelConfig& config, DType dtype) {
    Rng rng(1);
    for (const ParameterSpec& p : parameter_specs(config)) {
      const bool whole = p.cols % dtype_block(dtype) == 0;
      const DType type = p.vector ? DType::kF32 : whole ? dtype : DType::kQ8_0;
      for (const auto& part : p.parts) {
        memory_.emplace_back(dtype_bytes(type, part.rows * p.cols));
        random_rows(type, part.rows, p.cols, p.vector ? 1 : 0.02, rng, memory_.back().data());
        tensors_.push_back(
            {part.name,
             type,
             p.vector ? std::vector<int64_t>{part.rows} : std::vector<int64_t>{part.rows, p.cols},
             {memory_.back().data(), memory_.back().bytes()}});
      }
    }
  }

  const std::string& where() const override { return where_; }
  const TensorInfo* find(std::string_view name) const override {
    for (const TensorInfo& t : tensors_) {
      if (t.name == name) return &t;
    }
    return nullptr;
  }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }

 private:
  std::string where_ = "random weights";
  std::vector<Buffer> memory_;
  std::vector<TensorInfo> tensors_;
};

}  // namespace

ModelConfig shape_config(const std::string& name) {
  for (const Shape& s : kShapes) {
    if (name == s.name) return parse_model_config(parse_json(s.config, name), name);
  }
  throw InputError("--shape " + name + ": expected one of " + shape_names());
}

std::string shape_names() {
  std::string names;
  for (const Shape& s : kShapes) names += (names.empty() ? "" : ", ") + std::string(s.name);
  return names;
}

std::shared_ptr<const TensorSource> random_files(const ModelConfig& config, DType dtype) {
  return std::make_shared<RandomFiles>(config, dtype);
}

}  // namespace r1
