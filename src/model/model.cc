#include "model/model.h"

#include <algorithm>

#include "base/files.h"
#include "base/rng.h"
#include "io/safetensors.h"
#include "model/parameter_reader.h"

namespace r1 {
namespace {

// Positions that the RoPE table covers at most: longer contexts are refused, not silently slow.
constexpr int64_t kMaxTable = 1 << 17;

// The packed copies that a linear has.
void pack_linear(Ops& ops, ConstTensor w, const Linear& l) {
  const PackedWeight& plain = l.flipped ? l.transposed : l.packed;
  const PackedWeight& turned = l.flipped ? l.packed : l.transposed;
  if (plain.data) ops.pack(w, plain);
  if (turned.data) ops.pack_transposed(w, turned);
}

}  // namespace

float* Gradients::at(const float* master) {
  const int64_t offset = master - masters_;
  const ParameterSet::Row& row = parameters_->holding(offset);
  R1_CHECK(row.trained >= 0);
  return memory_.floats() + row.trained + (offset - row.offset);
}

// The weights, every view bound to memory that is the caller's to fill.
std::vector<Parameter> Model::allocate(Ops& ops) {
  weights_ = std::make_unique<Weights>();
  std::vector<Parameter> table = parameter_table(config_, *weights_);
  parameters_ = std::make_unique<ParameterSet>();
  for (const Parameter& p : table) {
    parameters_->add(p.spec, keeps_master(p), use_ == Use::kTraining && p.spec.trained);
  }
  masters_ = Buffer::of_floats(parameters_->held_floats(), ops.memory());
  bind(table);
  if (files_) std::ranges::for_each(table, [&](const Parameter& p) { map(p, ops); });
  place(&Linear::packed, ops, packed_);
  if (use_ == Use::kTraining) place(&Linear::transposed, ops, transposed_);
  rope_ = std::make_unique<RopeTable>(config_.rope_scaling, config_.rope_theta, config_.rope_dim(),
                                      std::min(config_.max_position_embeddings, kMaxTable),
                                      ops.memory());
  return table;
}

bool Model::keeps_master(const Parameter& p) const {
  if (use_ != Use::kInference) return true;
  return !std::holds_alternative<std::vector<Parameter::Rows>>(p.slot) &&
         !(files_ && std::holds_alternative<Tensor*>(p.slot));
}

// Points the weight into the files. What is taken apart or turned (latent attention's heads) or
// must be float32 (routers) is packed all the same.
void Model::map(const Parameter& p, Ops& ops) {
  if (std::holds_alternative<Tensor*>(p.slot)) {
    std::vector<MappedWeight> parts = map_parameter(*files_, p.spec, ops, copies_);
    weights_->embedding_rows = parts.at(0);
    if (config_.tie_word_embeddings) weights_->head.mapped = std::move(parts);
  } else if (const auto rows = std::get_if<std::vector<Parameter::Rows>>(&p.slot)) {
    Linear& l = *rows->front().linear;
    if (rows->size() == 1 && !l.flipped && !p.spec.exact) {
      l.mapped = map_parameter(*files_, p.spec, ops, copies_);
    }
  }
}

// Points the views into the masters, and gives each matrix its shape.
void Model::bind(const std::vector<Parameter>& table) {
  for (size_t i = 0; i < table.size(); ++i) {
    const Parameter& p = table[i];
    const int64_t rows = p.spec.rows, cols = p.spec.cols;
    float* const master = master_of((*parameters_)[i]);
    if (const auto t = std::get_if<Tensor*>(&p.slot)) **t = {master, rows, cols};
    if (const auto b = std::get_if<const float**>(&p.slot)) **b = master;
    if (const auto v = std::get_if<std::span<float>*>(&p.slot)) {
      **v = {master, static_cast<size_t>(rows)};
    }
    if (const auto parts = std::get_if<std::vector<Parameter::Rows>>(&p.slot)) {
      const DType dtype = p.spec.exact ? DType::kF32 : dtype_;
      for (const Parameter::Rows& r : *parts) {
        bind_linear(*r.linear, dtype, r.rows, cols, master ? master + r.row * cols : nullptr);
      }
    }
  }
  if (config_.tie_word_embeddings) {
    const Tensor& e = weights_->embedding;
    bind_linear(weights_->head, dtype_, e.rows, e.cols, e.data);
  }
}

void Model::bind_linear(Linear& l, DType dtype, int64_t rows, int64_t cols, float* master) {
  l.packed = {dtype, rows, cols, nullptr};
  l.transposed = {dtype, cols, rows, nullptr};
  if (l.flipped) std::swap(l.packed, l.transposed);
  if (master) l.master = {master, rows, cols};
  linears_.push_back(&l);
}

// Memory for the packed (or transposed) weights of all matrices that are not read in place.
void Model::place(PackedWeight Linear::*which, Ops& ops, Buffer& memory) {
  const auto bytes = [&](const PackedWeight& w) {
    return (ops.packed_bytes(w.dtype, w.n, w.k) + 63) / 64 * 64;
  };
  std::vector<Linear*> placed = linears_;
  std::erase_if(placed, [](const Linear* l) { return !l->mapped.empty(); });
  int64_t total = 0;
  for (Linear* l : placed) total += bytes(l->*which);
  memory = Buffer(static_cast<size_t>(total), ops.memory());
  std::byte* next = memory.data();
  for (Linear* l : placed) {
    (l->*which).data = next;
    next += bytes(l->*which);
  }
}

void Model::repack(Ops& ops) {
  ++version_;
  for (Linear* l : linears_) {
    if (l->master.empty()) continue;
    pack_linear(ops, l->master, *l);
  }
}

void Model::repack_mapped(Ops& ops) {
  const auto bytes = [&](const MappedWeight& w) { return (ops.repacked_bytes(w) + 63) / 64 * 64; };
  const auto each = [&](auto&& f) {
    for (Linear* l : linears_) {
      for (MappedWeight& w : l->mapped) {
        if (!w.repacked && bytes(w) > 0) f(w);
      }
    }
  };
  R1_CHECK(repacked_.bytes() == 0);
  int64_t total = 0;
  each([&](const MappedWeight& w) { total += bytes(w); });
  repacked_ = Buffer(static_cast<size_t>(total), ops.memory());
  std::byte* next = repacked_.data();
  each([&](MappedWeight& w) {
    const int64_t size = bytes(w);
    w = ops.repack(w, next);
    next += size;
  });
}

void Model::embed(Ops& ops, std::span<const int32_t> ids, Tensor out) const {
  if (files_) {
    ops.embed_mapped(ids, weights_->embedding_rows, out);
  } else {
    ops.embed(ids, weights_->embedding, out);
  }
}

Model Model::load(const std::filesystem::path& folder, Ops& ops, std::optional<DType> dtype,
                  Use use) {
  const ModelConfig config = read_model_config(folder);
  return load(config, std::make_shared<SafeTensors>(SafeTensors::open(folder)), ops, dtype, use);
}

Model Model::load(const ModelConfig& config, std::shared_ptr<const TensorSource> files, Ops& ops,
                  std::optional<DType> dtype, Use use) {
  R1_CHECK(dtype || use == Use::kInference);
  // Before anything large is allocated: the files must hold what the config promises.
  for (const ParameterSpec& p : parameter_specs(config)) {
    for (const auto& part : p.parts) part_tensor(*files, p, part);
  }
  Model m(config, dtype.value_or(DType::kF32), use, ops);
  if (!dtype) m.files_ = files;
  const std::vector<Parameter> table = m.allocate(ops);
  for (size_t i = 0; i < table.size(); ++i) {
    const Parameter& p = table[i];
    if (float* const master = m.master_of((*m.parameters_)[i])) {
      read_parameter(*files, p.spec, ops, master);
      continue;
    }
    const auto* rows = std::get_if<std::vector<Parameter::Rows>>(&p.slot);
    if (!rows || !rows->front().linear->mapped.empty()) continue;
    Buffer values = Buffer::of_floats(p.spec.size(), ops.memory());
    read_parameter(*files, p.spec, ops, values.floats());
    const ConstTensor w(values.floats(), p.spec.rows, p.spec.cols);
    for (const Parameter::Rows& r : *rows) {
      pack_linear(ops, w.slice_rows(r.row, r.rows), *r.linear);
    }
  }
  m.repack(ops);
  return m;
}

Model Model::clone(Ops& ops, Use use) const {
  R1_CHECK(use_ != Use::kInference && use != Use::kInference);
  Model m(config_, dtype_, use, ops);
  m.allocate(ops);
  ops.copy(masters_.data(), m.masters_.data(), masters_.bytes());
  m.repack(ops);
  return m;
}

Model Model::create(const ModelConfig& config, uint64_t seed, Ops& ops, DType dtype) {
  Model m(config, dtype, Use::kTraining, ops);
  m.allocate(ops);
  uint64_t stream = 0;
  for (const ParameterSet::Row& row : *m.parameters_) {
    const ParameterSpec& p = row.spec;
    std::vector<float> values(static_cast<size_t>(p.size()));
    Rng rng(seed, stream++);
    for (float& w : values) {
      w = static_cast<float>(p.vector ? p.initial : p.initial * rng.normal());
    }
    ops.upload(values.data(), m.master_of(row), values.size() * sizeof(float));
  }
  m.repack(ops);
  return m;
}

void Model::save(const std::filesystem::path& folder) const {
  R1_CHECK(use_ != Use::kInference);
  make_folder(folder);
  const HostView values(*ops_, masters());
  std::vector<TensorOut> tensors;
  for (const ParameterSet::Row& row : *parameters_) {
    const ParameterSpec& p = row.spec;
    const float* w = values.floats().data() + row.offset;
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
  }
  write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  write_file_atomic(folder / "config.json", model_config_json(config_).dump(2) + "\n");
}

std::vector<float> Model::download_masters() const {
  std::vector<float> values(masters().size());
  ops_->download(masters_.data(), values.data(), masters_.bytes());
  return values;
}

int64_t Model::mapped_bytes() const {
  if (!files_) return 0;
  const MappedWeight& e = weights_->embedding_rows;
  const bool tied = config_.tie_word_embeddings;
  return token_bytes() + (tied ? 0 : e.n * e.row_bytes());
}

int64_t Model::token_bytes() const {
  int64_t bytes = files_ ? 0 : static_cast<int64_t>(packed_.bytes());
  for (const Linear* l : linears_) {
    for (const MappedWeight& w : l->mapped) bytes += w.n * w.row_bytes();
  }
  return bytes;
}

int64_t Model::weight_bytes() const {
  return static_cast<int64_t>(masters_.bytes() + packed_.bytes() + transposed_.bytes() +
                              repacked_.bytes());
}

}  // namespace r1
