#include "model/gguf_model.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "model/config.h"

namespace r1 {
namespace {

struct NameRow {
  const char* gguf;
  const char* hugging_face;
  GgufLayout layout = GgufLayout::kAsIs;
};

constexpr NameRow kModelNames[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

// Behind blk.N. and model.layers.N. of every architecture: a name that one does not use is not in
// its files.
constexpr NameRow kLayerNames[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight", GgufLayout::kPairs},
    {"attn_q.bias", "self_attn.q_proj.bias", GgufLayout::kPairs},
    {"attn_k.weight", "self_attn.k_proj.weight", GgufLayout::kPairs},
    {"attn_k.bias", "self_attn.k_proj.bias", GgufLayout::kPairs},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_q_a.weight", "self_attn.q_a_proj.weight"},
    {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"},
    {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
    {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
    {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"},
    {"attn_kv_b.weight", "self_attn.kv_b_proj.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"ffn_gate_exps.weight", "mlp.experts.*.gate_proj.weight", GgufLayout::kExperts},
    {"ffn_up_exps.weight", "mlp.experts.*.up_proj.weight", GgufLayout::kExperts},
    {"ffn_down_exps.weight", "mlp.experts.*.down_proj.weight", GgufLayout::kExperts},
    {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"},
};

}  // namespace

std::string GgufName::expert(int64_t number) const {
  std::string name = hugging_face;
  return name.replace(name.find('*'), 1, std::to_string(number));
}

std::vector<GgufName> gguf_names(const Json& config, const std::string& where) {
  // Llama alone has RoPE on neighbouring rows there.
  const bool pairs = gguf_architecture(config, where) == "llama";
  const auto head_dim = config.at("head_dim").get<int64_t>();
  std::vector<GgufName> names;
  for (const NameRow& row : kModelNames) names.push_back({row.gguf, row.hugging_face});
  const auto layers = config.at("num_hidden_layers").get<int64_t>();
  for (int64_t i = 0; i < layers; ++i) {
    const std::string number = std::to_string(i) + ".";
    for (const NameRow& row : kLayerNames) {
      const bool as_is = row.layout == GgufLayout::kPairs && !pairs;
      names.push_back({"blk." + number + row.gguf, "model.layers." + number + row.hugging_face,
                       as_is ? GgufLayout::kAsIs : row.layout, head_dim});
    }
  }
  return names;
}

int64_t gguf_row_of_pair(int64_t row, int64_t head_dim) {
  const int64_t head = row / head_dim, in_head = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (in_head % half) + in_head / half;
}

std::shared_ptr<GgufModel> GgufModel::open(const std::filesystem::path& file) {
  return std::shared_ptr<GgufModel>(new GgufModel(Gguf::open(file)));
}

GgufModel::GgufModel(Gguf file) : file_(std::move(file)) {
  // Through ModelConfig, which knows what sizes are possible.
  config_ = model_config_json(parse_model_config(config_from_gguf(file_), where()));
  for (const GgufName& name : gguf_names(config_, where())) {
    if (const GgufTensor* tensor = file_.find(name.gguf)) add(name, *tensor);
  }
}

void GgufModel::add(const GgufName& name, const GgufTensor& tensor) {
  const auto fail = [&](const std::string& expected) {
    throw InputError(where() + ": tensor " + in_quotes(tensor.name) + ": expected " + expected +
                     ", found " + shape_text(tensor.shape));
  };
  const auto put = [&](std::string hugging_face, std::vector<int64_t> shape,
                       std::span<const std::byte> bytes, int64_t head_dim) {
    by_name_.emplace(hugging_face,
                     Entry{tensors_.size(), head_dim, tensor.dtype ? "" : tensor.type});
    tensors_.push_back(
        {std::move(hugging_face), tensor.dtype.value_or(DType::kU8), std::move(shape), bytes});
  };
  if (name.layout == GgufLayout::kExperts) {
    if (tensor.shape.size() != 3) fail("one matrix an expert");
    const int64_t experts = tensor.shape[0];
    const size_t size = experts == 0 ? 0 : tensor.bytes.size() / static_cast<size_t>(experts);
    for (int64_t e = 0; e < experts; ++e) {
      put(name.expert(e), {tensor.shape[1], tensor.shape[2]},
          tensor.bytes.subspan(static_cast<size_t>(e) * size, size), 0);
    }
    return;
  }
  const bool pairs = name.layout == GgufLayout::kPairs;
  if (pairs && (tensor.shape.empty() || tensor.shape[0] % name.head_dim != 0)) {
    fail("whole heads of " + std::to_string(name.head_dim) + " rows");
  }
  put(name.hugging_face, tensor.shape, tensor.bytes, pairs ? name.head_dim : 0);
}

const TensorInfo* GgufModel::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return nullptr;
  const Entry& entry = it->second;
  const TensorInfo& info = tensors_[entry.index];
  if (!entry.unreadable.empty()) {
    throw InputError(where() + ": tensor " + in_quotes(name) + ": its type " +
                     std::string(entry.unreadable) +
                     " is not read: expected F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K");
  }
  if (entry.head_dim == 0 || info.bytes.empty()) return &info;
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = made_.try_emplace(entry.index);
  Made& made = at->second;
  if (fresh) {
    made.memory = Buffer(info.bytes.size());
    made.info = info;
    made.info.bytes = {made.memory.data(), info.bytes.size()};
    const int64_t rows = info.shape[0];
    const size_t size = info.bytes.size() / static_cast<size_t>(rows);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t from = gguf_row_of_pair(r, entry.head_dim);
      std::memcpy(made.memory.data() + static_cast<size_t>(r) * size,
                  info.bytes.data() + static_cast<size_t>(from) * size, size);
    }
  }
  return &made.info;
}

void GgufModel::forget() const {
  const std::lock_guard lock(mutex_);
  made_.clear();
}

}  // namespace r1
