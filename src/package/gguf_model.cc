#include "package/gguf_model.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "tensor/quant.h"

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
    {"attn_kv_b.weight", "self_attn.kv_b_proj.weight", GgufLayout::kOlder},
    {"attn_k_b.weight", "self_attn.kv_b_proj.weight", GgufLayout::kKeyUp},
    {"attn_v_b.weight", "self_attn.kv_b_proj.weight", GgufLayout::kValueUp},
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
  // Llama alone has RoPE on neighbouring rows there and not in Hugging Face's files.
  const bool pairs = gguf_architecture(config, where) == "llama";
  const bool latent = config.contains("kv_lora_rank");
  const auto head_dim = config.at(latent ? "qk_nope_head_dim" : "head_dim").get<int64_t>();
  const auto value_dim = latent ? config.at("v_head_dim").get<int64_t>() : 0;
  std::vector<GgufName> names;
  for (const NameRow& row : kModelNames) names.push_back({row.gguf, row.hugging_face});
  const auto layers = config.at("num_hidden_layers").get<int64_t>();
  for (int64_t i = 0; i < layers; ++i) {
    const std::string number = std::to_string(i) + ".";
    for (const NameRow& row : kLayerNames) {
      const bool as_is = row.layout == GgufLayout::kPairs && !pairs;
      names.push_back({"blk." + number + row.gguf, "model.layers." + number + row.hugging_face,
                       as_is ? GgufLayout::kAsIs : row.layout, head_dim, value_dim});
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

void GgufModel::refuse(const GgufTensor& tensor, const std::string& expected) const {
  throw InputError(where() + ": tensor " + in_quotes(tensor.name) + ": expected " + expected +
                   ", found " + shape_text(tensor.shape));
}

void GgufModel::add(const GgufName& name, const GgufTensor& tensor) {
  if (name.layout == GgufLayout::kExperts) return add_experts(name, tensor);
  if (name.layout == GgufLayout::kKeyUp) return add_latent(name, tensor);
  if (name.layout == GgufLayout::kValueUp) return;  // with its keys
  if (name.layout == GgufLayout::kPairs &&
      (tensor.shape.empty() || tensor.shape[0] % name.head_dim != 0)) {
    refuse(tensor, "whole heads of " + std::to_string(name.head_dim) + " rows");
  }
  by_name_.emplace(name.hugging_face,
                   Entry{tensors_.size(), name, tensor.dtype ? "" : tensor.type});
  tensors_.push_back(
      {name.hugging_face, tensor.dtype.value_or(DType::kU8), tensor.shape, tensor.bytes});
}

void GgufModel::add_experts(const GgufName& name, const GgufTensor& tensor) {
  if (tensor.shape.size() != 3 || tensor.bytes.empty()) refuse(tensor, "one matrix an expert");
  const int64_t experts = tensor.shape[0];
  const size_t size = tensor.bytes.size() / static_cast<size_t>(experts);
  for (int64_t e = 0; e < experts; ++e) {
    GgufTensor one = tensor;
    one.shape = {tensor.shape[1], tensor.shape[2]};
    one.bytes = tensor.bytes.subspan(static_cast<size_t>(e) * size, size);
    add({name.gguf, name.expert(e)}, one);
  }
}

// kv_b_proj out of its two halves, which stand in other orders: to be made when it is asked for.
void GgufModel::add_latent(const GgufName& name, const GgufTensor& keys) {
  std::string other = name.gguf;
  other.replace(other.find("_k_b."), 5, "_v_b.");
  const GgufTensor* values = file_.find(other);
  if (keys.shape.size() != 3 || keys.shape[2] != name.head_dim || keys.bytes.empty()) {
    refuse(keys, "matrices of " + std::to_string(name.head_dim) + " columns, one a head");
  }
  const std::vector<int64_t> fitting = {keys.shape[0], name.value_dim, keys.shape[1]};
  if (!values) refuse(keys, in_quotes(other) + " beside it");
  if (values->shape != fitting) refuse(*values, shape_text(fitting));
  const std::string_view unreadable = !keys.dtype      ? keys.type
                                      : !values->dtype ? values->type
                                                       : std::string_view();
  // A plain type that both have is kept; blocks cannot be turned, so they are read.
  const bool plain = keys.dtype == values->dtype && keys.dtype && dtype_block(*keys.dtype) == 1;
  by_name_.emplace(name.hugging_face, Entry{tensors_.size(), name, unreadable});
  tensors_.push_back({name.hugging_face,
                      plain ? *keys.dtype : DType::kF32,
                      {keys.shape[0] * (name.head_dim + name.value_dim), keys.shape[1]},
                      {}});
}

const TensorInfo* GgufModel::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  if (it == by_name_.end()) return nullptr;
  const Entry& entry = it->second;
  const TensorInfo& info = tensors_[entry.index];
  if (!entry.unreadable.empty()) {
    throw InputError(where() + ": tensor " + in_quotes(name) + ": its type " +
                     std::string(entry.unreadable) + " is not read: expected " +
                     dequantizable_names());
  }
  const bool pairs = entry.name.layout == GgufLayout::kPairs && !info.bytes.empty();
  if (!pairs && entry.name.layout != GgufLayout::kKeyUp) return &info;
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = made_.try_emplace(entry.index);
  if (fresh) pairs ? make_pairs(entry, at->second) : make_latent(entry, at->second);
  return &at->second.info;
}

void GgufModel::make_pairs(const Entry& entry, Made& made) const {
  const TensorInfo& info = tensors_[entry.index];
  made.memory = Buffer(info.bytes.size());
  made.info = info;
  made.info.bytes = {made.memory.data(), info.bytes.size()};
  const int64_t rows = info.shape[0];
  const size_t size = info.bytes.size() / static_cast<size_t>(rows);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t from = gguf_row_of_pair(r, entry.name.head_dim);
    std::memcpy(made.memory.data() + static_cast<size_t>(r) * size,
                info.bytes.data() + static_cast<size_t>(from) * size, size);
  }
}

void GgufModel::make_latent(const Entry& entry, Made& made) const {
  const GgufTensor& keys = *file_.find(entry.name.gguf);
  std::string other = entry.name.gguf;
  const GgufTensor& values = *file_.find(other.replace(other.find("_k_b."), 5, "_v_b."));
  const int64_t heads = keys.shape[0], rank = keys.shape[1];
  const int64_t key_dim = entry.name.head_dim, value_dim = entry.name.value_dim;
  const auto read = [](const GgufTensor& tensor, int64_t count) {
    Buffer floats = Buffer::of_floats(count);
    if (count > 0) dequantize(*tensor.dtype, tensor.bytes.data(), count, floats.floats());
    return floats;
  };
  const Buffer keys_HRK = read(keys, heads * rank * key_dim);
  const Buffer values_HVR = read(values, heads * value_dim * rank);
  const int64_t rows = key_dim + value_dim;  // of a head
  Buffer out = Buffer::of_floats(heads * rows * rank);
  for (int64_t h = 0; h < heads; ++h) {
    float* head = out.floats() + h * rows * rank;
    for (int64_t r = 0; r < rank; ++r) {
      const float* row = keys_HRK.floats() + (h * rank + r) * key_dim;
      for (int64_t k = 0; k < key_dim; ++k) head[k * rank + r] = row[k];
    }
    std::copy_n(values_HVR.floats() + h * value_dim * rank, value_dim * rank,
                head + key_dim * rank);
  }
  made.info = tensors_[entry.index];
  const int64_t count = heads * rows * rank;
  made.memory = Buffer(dtype_bytes(made.info.dtype, count));
  if (count > 0) quantize(made.info.dtype, out.floats(), count, made.memory.data());
  made.info.bytes = {made.memory.data(), made.memory.bytes()};
}

void GgufModel::forget() const {
  const std::lock_guard lock(mutex_);
  made_.clear();
}

}  // namespace r1
