#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "base/files.h"
#include "base/rng.h"
#include "io/safetensors.h"

namespace r1 {
namespace {

// Positions that the RoPE table covers at most: longer contexts are refused, not silently slow.
constexpr int64_t kMaxTable = 1 << 17;

// Masters are laid out with every parameter on a cache line of its own.
int64_t aligned_floats(int64_t n) {
  return (n + 15) / 16 * 16;
}

// The tensor that a part of a parameter is read from.
const TensorInfo& part_tensor(const TensorSource& files, const ParameterSpec& spec,
                              const ParameterSpec::Part& part) {
  auto fail = [&](const std::string& what) {
    throw InputError(files.where() + ": tensor '" + part.name + "' " + what);
  };
  const TensorInfo* t = files.find(part.name);
  if (!t) fail("is missing");
  const std::vector<int64_t> expected =
      spec.vector ? std::vector<int64_t>{part.rows} : std::vector<int64_t>{part.rows, spec.cols};
  if (t->shape != expected) {
    fail("has shape " + shape_text(t->shape) + ", config.json asks for " + shape_text(expected));
  }
  if (t->dtype != DType::kF32 && t->dtype != DType::kF16 && t->dtype != DType::kBF16) {
    fail("has dtype " + std::string(dtype_name(t->dtype)) + ", expected F32, F16 or BF16");
  }
  return *t;
}

// A parameter's values, its parts stacked by rows.
void read_parameter(const TensorSource& files, const ParameterSpec& spec, float* out) {
  for (const auto& part : spec.parts) {
    copy_to_f32(part_tensor(files, spec, part), out);
    out += part.rows * spec.cols;
  }
}

}  // namespace

void Gradients::clear() {
  std::memset(memory_.data(), 0, memory_.bytes());
}

void Model::each_linear(auto&& f) {
  for (Block& b : blocks_) {
    f(b.qkv);
    f(b.attention_out);
    f(b.gate_up);
    f(b.down);
  }
  f(head_);
}

// Shapes of the packed weights, and their memory.
void Model::allocate() {
  const ModelConfig& c = config_;
  blocks_.resize(static_cast<size_t>(c.num_hidden_layers));
  auto shape = [&](Linear& l, int64_t n, int64_t k) {
    l.packed = {dtype_, n, k, nullptr};
    l.transposed = {dtype_, k, n, nullptr};
  };
  for (Block& b : blocks_) {
    shape(b.qkv, c.qkv_width(), c.hidden_size);
    shape(b.attention_out, c.hidden_size, c.query_width());
    shape(b.gate_up, 2 * c.intermediate_size, c.hidden_size);
    shape(b.down, c.hidden_size, c.intermediate_size);
  }
  shape(head_, c.vocab_size, c.hidden_size);

  auto bytes = [](const PackedWeight& w) {
    return (PackedWeight::bytes(w.dtype, w.n, w.k) + 63) / 64 * 64;
  };
  auto place = [&](PackedWeight Linear::*which, Buffer& memory) {
    int64_t total = 0;
    each_linear([&](Linear& l) { total += bytes(l.*which); });
    memory = Buffer(static_cast<size_t>(total));
    std::byte* next = memory.data();
    each_linear([&](Linear& l) {
      (l.*which).data = next;
      next += bytes(l.*which);
    });
  };
  place(&Linear::packed, packed_);
  if (use_ == Use::kTraining) place(&Linear::transposed, transposed_);
}

// Points the views into the masters: all of them, or the embedding and the vectors alone.
void Model::bind_parameters(float* base, bool matrices) {
  const auto specs = parameter_specs(config_);
  std::unordered_map<std::string, float*> where;
  for (const ParameterSpec& p : specs) {
    if (!matrices && !p.vector && p.name != "embedding") continue;
    where[p.name] = base;
    base += aligned_floats(p.size());
  }
  const ModelConfig& c = config_;
  auto vector = [&](const std::string& name, int64_t n) {
    const auto it = where.find(name);
    return it == where.end() ? std::span<float>{}
                             : std::span<float>(it->second, static_cast<size_t>(n));
  };
  auto matrix = [&](const std::string& name, Linear& l) {
    const auto it = where.find(name);
    if (it != where.end()) l.master = {it->second, l.packed.n, l.packed.k};
  };
  embedding_ = {where.at("embedding"), c.vocab_size, c.hidden_size};
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    Block& b = blocks_[i];
    b.attention_norm = vector(prefix + "attention_norm", c.hidden_size);
    b.mlp_norm = vector(prefix + "mlp_norm", c.hidden_size);
    b.q_norm = vector(prefix + "q_norm", c.head_dim);
    b.k_norm = vector(prefix + "k_norm", c.head_dim);
    matrix(prefix + "qkv", b.qkv);
    if (c.attention_bias) b.qkv.bias = vector(prefix + "qkv_bias", c.qkv_width()).data();
    matrix(prefix + "attention_out", b.attention_out);
    matrix(prefix + "gate_up", b.gate_up);
    matrix(prefix + "down", b.down);
  }
  final_norm_ = vector("final_norm", c.hidden_size);
  matrix(c.tie_word_embeddings ? "embedding" : "head", head_);
}

// RoPE (Su et al., 2021): angle(position, i) = position * theta^(-2 i / D), in double.
void Model::make_rope_table() {
  const int64_t dim = config_.head_dim, half = dim / 2;
  max_positions_ = std::min(config_.max_position_embeddings, kMaxTable);
  cos_sin_ = Buffer::of_floats(max_positions_ * dim);
  std::vector<double> frequency(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    frequency[static_cast<size_t>(i)] =
        std::pow(config_.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
  }
  for (int64_t p = 0; p < max_positions_; ++p) {
    float* row = cos_sin_.floats() + p * dim;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequency[static_cast<size_t>(i)];
      row[i] = static_cast<float>(std::cos(angle));
      row[half + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void Model::each_parameter(
    const std::function<void(const ParameterSpec& spec, int64_t offset)>& f) const {
  R1_CHECK(use_ == Use::kTraining);
  int64_t offset = 0;
  for (const ParameterSpec& p : parameter_specs(config_)) {
    f(p, offset);
    offset += aligned_floats(p.size());
  }
}

void Model::repack(Ops& ops) {
  each_linear([&](Linear& l) {
    if (l.master.empty()) return;
    ops.pack(l.master, l.packed);
    if (l.transposed.data) ops.pack_transposed(l.master, l.transposed);
  });
}

Model Model::load(const std::filesystem::path& folder, Ops& ops, DType dtype, Use use) {
  const auto path = folder / "config.json";
  const ModelConfig config =
      parse_model_config(parse_json(read_file(path), path.string()), path.string());
  return load(config, std::make_shared<SafeTensors>(SafeTensors::open(folder)), ops, dtype, use);
}

Model Model::load(const ModelConfig& config, std::shared_ptr<const TensorSource> files, Ops& ops,
                  DType dtype, Use use) {
  Model m;
  m.config_ = config;
  m.dtype_ = dtype;
  m.use_ = use;
  const auto specs = parameter_specs(m.config_);
  // Before anything large is allocated: the files must hold what the config promises.
  for (const ParameterSpec& p : specs) {
    for (const auto& part : p.parts) part_tensor(*files, p, part);
  }
  const bool all = use == Use::kTraining;
  m.allocate();
  int64_t kept = 0;
  for (const ParameterSpec& p : specs) {
    if (all || p.vector || p.name == "embedding") kept += aligned_floats(p.size());
  }
  m.masters_ = Buffer::of_floats(kept);
  m.bind_parameters(m.masters_.floats(), all);
  std::unordered_map<std::string, Linear*> linears;
  for (size_t i = 0; i < m.blocks_.size(); ++i) {
    const std::string prefix = "layers." + std::to_string(i) + ".";
    linears[prefix + "qkv"] = &m.blocks_[i].qkv;
    linears[prefix + "attention_out"] = &m.blocks_[i].attention_out;
    linears[prefix + "gate_up"] = &m.blocks_[i].gate_up;
    linears[prefix + "down"] = &m.blocks_[i].down;
  }
  linears["head"] = &m.head_;
  float* next = m.masters_.floats();
  for (const ParameterSpec& p : specs) {
    if (all || p.vector || p.name == "embedding") {
      read_parameter(*files, p, next);
      next += aligned_floats(p.size());
      continue;
    }
    const Buffer values = Buffer::of_floats(p.size());
    float* data = const_cast<float*>(values.floats());
    read_parameter(*files, p, data);
    ops.pack({data, p.rows, p.cols}, linears.at(p.name)->packed);
  }
  m.repack(ops);
  m.make_rope_table();
  return m;
}

Model Model::clone(Ops& ops) const {
  R1_CHECK(use_ == Use::kTraining);
  Model m;
  m.config_ = config_;
  m.dtype_ = dtype_;
  m.use_ = use_;
  m.allocate();
  m.masters_ = Buffer(masters_.bytes());
  std::memcpy(m.masters_.data(), masters_.data(), masters_.bytes());
  m.bind_parameters(m.masters_.floats(), true);
  m.repack(ops);
  m.make_rope_table();
  return m;
}

Model Model::create(const ModelConfig& config, uint64_t seed, Ops& ops, DType dtype) {
  Model m;
  m.config_ = config;
  m.dtype_ = dtype;
  m.use_ = Use::kTraining;
  m.allocate();
  int64_t floats = 0;
  for (const ParameterSpec& p : parameter_specs(config)) floats += aligned_floats(p.size());
  m.masters_ = Buffer::of_floats(floats);
  m.bind_parameters(m.masters_.floats(), true);
  const double residual = 1.0 / std::sqrt(2.0 * static_cast<double>(config.num_hidden_layers));
  uint64_t stream = 0;
  m.each_parameter([&](const ParameterSpec& p, int64_t offset) {
    float* w = m.masters_.floats() + offset;
    Rng rng(seed, stream++);
    if (p.vector) {
      std::fill_n(w, p.size(), p.name.ends_with("_bias") ? 0.0f : 1.0f);
      return;
    }
    const bool ends_branch = p.name.ends_with(".attention_out") || p.name.ends_with(".down");
    const double deviation = 0.02 * (ends_branch ? residual : 1.0);
    for (int64_t e = 0; e < p.size(); ++e) w[e] = static_cast<float>(deviation * rng.normal());
  });
  m.repack(ops);
  m.make_rope_table();
  return m;
}

void Model::save(const std::filesystem::path& folder) const {
  R1_CHECK(use_ == Use::kTraining);
  make_folder(folder);
  std::vector<TensorOut> tensors;
  each_parameter([&](const ParameterSpec& p, int64_t offset) {
    const float* w = masters_.floats() + offset;
    for (const auto& part : p.parts) {
      const int64_t size = part.rows * p.cols;
      TensorOut out;
      out.name = part.name;
      out.dtype = DType::kF32;
      out.shape =
          p.vector ? std::vector<int64_t>{part.rows} : std::vector<int64_t>{part.rows, p.cols};
      out.bytes = std::as_bytes(std::span(w, static_cast<size_t>(size)));
      tensors.push_back(std::move(out));
      w += size;
    }
  });
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomic(folder / "config.json", model_config_json(config_).dump(2) + "\n");
  Json generation = {{"do_sample", true}, {"temperature", 1.0}};
  if (!config_.eos_token_ids.empty()) generation["eos_token_id"] = config_.eos_token_ids;
  write_file_atomic(folder / "generation_config.json", generation.dump(2) + "\n");
}

int64_t Model::weight_bytes() const {
  return static_cast<int64_t>(masters_.bytes() + packed_.bytes() + transposed_.bytes());
}

}  // namespace r1
