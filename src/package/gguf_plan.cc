#include "package/gguf_plan.h"

#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "tensor/quant.h"

namespace r1 {
namespace {

// Small, and read in float32 by llama.cpp: norms, biases, and what routes to experts.
bool stays_float32(const std::string& gguf_name, std::span<const int64_t> shape) {
  return shape.size() < 2 || gguf_name.ends_with(".ffn_gate_inp.weight");
}

// The embedding and the head, where 4 bits cost most.
bool is_vocabulary(const std::string& gguf_name) {
  return gguf_name == "token_embd.weight" || gguf_name == "output.weight";
}

}  // namespace

DType gguf_dtype(const std::string& name, std::span<const int64_t> shape, DType in,
                 const std::optional<DType>& wanted) {
  if (!can_dequantize(in)) return in;
  if (stays_float32(name, shape)) return DType::kF32;
  DType out = wanted.value_or(in == DType::kF8E4M3 ? DType::kBF16 : in);
  const bool four_bits = out == DType::kQ4_0 || out == DType::kQ4_1 || out == DType::kQ4_K;
  if (is_vocabulary(name) && four_bits) out = DType::kQ8_0;
  // Rows that are no whole number of blocks get the next finer type that they are of.
  if (shape.back() % dtype_block(out) != 0) out = DType::kQ8_0;
  return shape.back() % dtype_block(out) == 0 ? out : DType::kF16;
}

namespace {

std::optional<TensorPlan> plan_tensor(const TensorSource& source, const GgufName& name,
                                      const std::optional<DType>& wanted) {
  TensorPlan plan{{name.gguf, DType::kF32, {}}, {}, name};
  const auto add = [&](const std::string& part) {
    const TensorInfo* in = source.find(part);
    if (!in) return false;
    const TensorInfo* first = plan.parts.empty() ? in : source.find(plan.parts[0]);
    if (in->shape != first->shape || in->dtype != first->dtype) {
      throw InputError(source.where() + ": tensor " + in_quotes(part) + ": expected " +
                       std::string(dtype_name(first->dtype)) + " " + shape_text(first->shape) +
                       " as of the expert before it, found " + std::string(dtype_name(in->dtype)) +
                       " " + shape_text(in->shape));
    }
    plan.parts.push_back(part);
    return true;
  };
  const bool experts = name.layout == GgufLayout::kExperts;
  if (experts) {
    for (int64_t e = 0; add(name.expert(e)); ++e) {
    }
  } else {
    add(name.hugging_face);
  }
  if (plan.parts.empty()) return std::nullopt;
  const TensorInfo& in = *source.find(plan.parts[0]);
  plan.out.shape = in.shape;
  if (experts) plan.out.shape.insert(plan.out.shape.begin(), std::ssize(plan.parts));
  if (name.layout == GgufLayout::kKeyUp || name.layout == GgufLayout::kValueUp) {
    const int64_t head_rows = name.head_dim + name.value_dim;
    if (in.shape.size() != 2 || in.shape[0] % head_rows != 0) {
      throw InputError(source.where() + ": tensor " + in_quotes(in.name) +
                       ": expected whole heads of " + std::to_string(head_rows) + " rows, found " +
                       shape_text(in.shape));
    }
    const int64_t heads = in.shape[0] / head_rows, rank = in.shape[1];
    plan.out.shape = name.layout == GgufLayout::kKeyUp ? std::vector{heads, rank, name.head_dim}
                                                       : std::vector{heads, name.value_dim, rank};
  }
  plan.out.dtype = gguf_dtype(name.gguf, plan.out.shape, in.dtype, wanted);
  return plan;
}

}  // namespace

std::vector<TensorPlan> plan_gguf(const TensorSource& source, const ModelConfig& config,
                                  const std::string& where, const std::optional<DType>& wanted) {
  std::vector<TensorPlan> plans;
  for (const GgufName& name : gguf_names(model_config_json(config), where)) {
    if (config.tie_word_embeddings && name.gguf == "output.weight") continue;
    if (name.layout == GgufLayout::kOlder) continue;
    if (auto plan = plan_tensor(source, name, wanted)) plans.push_back(std::move(*plan));
  }
  if (auto factors = gguf_rope_factors(config); !factors.empty()) {
    const auto count = static_cast<int64_t>(factors.size());
    plans.push_back({{"rope_freqs.weight", DType::kF32, {count}}, {}, {}, std::move(factors)});
  }
  return plans;
}

}  // namespace r1
