#include "backend/fenced/fenced_ops.h"

#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"

namespace r1 {
namespace {

class Inside {
 public:
  explicit Inside(FencedMemory& memory) : memory_(memory) { memory_.enter(); }
  ~Inside() { memory_.leave(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  FencedMemory& memory_;
};

// Checks where an op's operands lie.
class Inspector {
 public:
  Inspector(const FencedMemory& memory, const Ops& ops) : memory_(memory), ops_(ops) {}

  // What operands say without pointing anywhere.
  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void look(const T&) const {}
  void look(const Routing&) const {}
  void look(const AdamW&) const {}
  void look(const LogitShape&) const {}

  void look(std::nullptr_t) const {}
  // One value at least; null where an operand may be left out.
  template <class T>
  void look(T* data) const {
    if (data) R1_CHECK(memory_.holds(data, sizeof(T)));
  }
  template <class T>
  void look(const BasicTensor<T>& t) const {
    if (t.empty() || t.data == nullptr) return;
    R1_CHECK(memory_.holds(t.data, elements_bytes<T>((t.rows - 1) * t.stride + t.cols)));
  }
  void look(const PackedWeight& w) const {
    R1_CHECK(memory_.holds(w.data, static_cast<size_t>(ops_.packed_bytes(w.dtype, w.n, w.k))));
  }
  void look(const MappedWeight& w) const {
    R1_CHECK(memory_.holds(w.data, static_cast<size_t>(w.n * w.row_bytes())));
    look(w.scales);
  }
  void look(const KvLayer& kv) const {
    look(static_cast<std::byte*>(kv.k));
    look(static_cast<std::byte*>(kv.v));
  }
  void look(const Product& p) const {
    look(p.x);
    look(*p.w);
    look(p.out);
  }
  void look(const WeightGradient& g) const {
    look(g.dout);
    look(g.x);
    look(g.dw);
  }
  void look(const Sequences& seqs) const {
    if (seqs.bounds.empty()) return;
    R1_CHECK(memory_.holds(seqs.data, seqs.bounds.size_bytes()));
    for (const Sequence& s : seqs.bounds) look(s.pages);
  }
  // Values are the backend's, structs that describe operands the host's.
  template <class T>
  void look(std::span<T> values) const {
    if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, const PageCopy>) {
      if (!values.empty()) R1_CHECK(memory_.holds(values.data(), values.size_bytes()));
    } else {
      for (const auto& value : values) look(value);
    }
  }

 private:
  template <class T>
  static size_t elements_bytes(int64_t count) {
    return static_cast<size_t>(count) * sizeof(T);
  }

  const FencedMemory& memory_;
  const Ops& ops_;
};

// Arrays laid one after another, to be carried over at once.
class Parcel {
 public:
  // Returns where the array begins.
  template <class T>
  size_t add(std::span<const T> array) {
    const size_t at = bytes_.size();
    const auto raw = std::as_bytes(array);
    bytes_.insert(bytes_.end(), raw.begin(), raw.end());
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
    return at;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  static constexpr size_t kAlignment = 8;
  std::vector<std::byte> bytes_;
};

template <class T>
std::span<const T> array_at(const std::byte* base, size_t offset, size_t count) {
  return {reinterpret_cast<const T*>(base + offset), count};
}

}  // namespace

FencedOps::FencedOps(std::unique_ptr<Ops> inner)
    : inner_(std::move(inner)), memory_(fenced_memory()) {}

template <auto op, class... Args>
auto FencedOps::inside(const Args&... args) {
  const Inspector inspector(memory_, *inner_);
  (inspector.look(args), ...);
  const Inside in(memory_);
  return (inner_.get()->*op)(args...);
}

void FencedOps::zero(void* to, size_t bytes) {
  R1_CHECK(bytes == 0 || memory_.holds(to, bytes));
  const Inside in(memory_);
  inner_->zero(to, bytes);
}

void FencedOps::copy(const void* from, void* to, size_t bytes) {
  R1_CHECK(bytes == 0 || (memory_.holds(from, bytes) && memory_.holds(to, bytes)));
  const Inside in(memory_);
  inner_->copy(from, to, bytes);
}

void FencedOps::upload(const void* host, void* to, size_t bytes) {
  R1_CHECK(bytes == 0 || (!memory_.holds(host, 1) && memory_.holds(to, bytes)));
  const Inside in(memory_);
  inner_->upload(host, to, bytes);
}

void FencedOps::download(const void* from, void* host, size_t bytes) {
  R1_CHECK(bytes == 0 || (memory_.holds(from, bytes) && !memory_.holds(host, 1)));
  const Inside in(memory_);
  inner_->download(from, host, bytes);
}

// All arrays in one upload, as a device would have it.
void FencedOps::begin(const BatchArrays& host, DeviceBatch& batch) {
  Parcel parcel;
  const size_t tokens = parcel.add(host.tokens), positions = parcel.add(host.positions);
  const size_t outputs = parcel.add(host.outputs), copies = parcel.add(host.copies);
  std::vector<size_t> tables;
  for (const Sequence& s : host.seqs) {
    const auto pages = static_cast<size_t>((s.position + s.count + kPageSize - 1) / kPageSize);
    tables.push_back(parcel.add(std::span(s.pages, pages)));
  }
  const size_t bytes = parcel.bytes().size() + host.seqs.size_bytes();
  if (batch.memory.bytes() < bytes) batch.memory = Buffer(bytes, memory_);
  const std::byte* const base = batch.memory.data();
  batch.bounds.assign(host.seqs.begin(), host.seqs.end());
  for (size_t i = 0; i < tables.size(); ++i) {
    batch.bounds[i].pages = reinterpret_cast<const int32_t*>(base + tables[i]);
  }
  const size_t seqs = parcel.add(std::span<const Sequence>(batch.bounds));
  upload(parcel.bytes().data(), batch.memory.data(), parcel.bytes().size());
  batch.tokens = array_at<int32_t>(base, tokens, host.tokens.size());
  batch.positions = array_at<int32_t>(base, positions, host.positions.size());
  batch.outputs = array_at<int32_t>(base, outputs, host.outputs.size());
  batch.copies = array_at<PageCopy>(base, copies, host.copies.size());
  batch.seqs = {batch.bounds, array_at<Sequence>(base, seqs, batch.bounds.size()).data()};
}

const std::byte* FencedOps::adopt(std::span<const std::byte> file, Buffer& copy) {
  copy = Buffer(file.size(), memory_);
  upload(file.data(), copy.data(), file.size());
  return copy.data();
}

const std::byte* FencedOps::view(const void* from, size_t bytes, std::vector<std::byte>& copy) {
  copy.resize(bytes);
  download(from, copy.data(), bytes);
  return copy.data();
}

void FencedOps::pack(ConstTensor w, PackedWeight packed) {
  inside<&Ops::pack>(w, packed);
}

void FencedOps::pack_transposed(ConstTensor w, PackedWeight packed) {
  inside<&Ops::pack_transposed>(w, packed);
}

MappedWeight FencedOps::repack(const MappedWeight& w, std::byte* out) {
  return inside<&Ops::repack>(w, out);
}

void FencedOps::matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add,
                       Tensor out) {
  inside<&Ops::matmul>(x, w, bias, add, out);
}

void FencedOps::matmul_mapped(ConstTensor x, std::span<const MappedWeight> parts, const float* bias,
                              bool add, Tensor out) {
  inside<&Ops::matmul_mapped>(x, parts, bias, add, out);
}

void FencedOps::matmul_swiglu(ConstTensor x, const PackedWeight& w, Tensor gate_up, Tensor out) {
  inside<&Ops::matmul_swiglu>(x, w, gate_up, out);
}

void FencedOps::matmul_mapped_swiglu(ConstTensor x, std::span<const MappedWeight> parts,
                                     Tensor gate_up, Tensor out) {
  inside<&Ops::matmul_mapped_swiglu>(x, parts, gate_up, out);
}

void FencedOps::matmul_backward_weight(ConstTensor dout, ConstTensor x, DType dtype, Tensor dw) {
  inside<&Ops::matmul_backward_weight>(dout, x, dtype, dw);
}

void FencedOps::matmul_backward_bias(ConstTensor dout, float* dbias) {
  inside<&Ops::matmul_backward_bias>(dout, dbias);
}

void FencedOps::matmuls(std::span<const Product> products) {
  inside<&Ops::matmuls>(products);
}

void FencedOps::matmuls_backward_weight(std::span<const WeightGradient> gradients) {
  inside<&Ops::matmuls_backward_weight>(gradients);
}

void FencedOps::embed(std::span<const int32_t> ids, ConstTensor table, Tensor out) {
  inside<&Ops::embed>(ids, table, out);
}

void FencedOps::embed_mapped(std::span<const int32_t> ids, const MappedWeight& table, Tensor out) {
  inside<&Ops::embed_mapped>(ids, table, out);
}

void FencedOps::embed_backward(std::span<const int32_t> ids, ConstTensor dout, Tensor dtable) {
  inside<&Ops::embed_backward>(ids, dout, dtable);
}

void FencedOps::gather_rows(ConstTensor x, std::span<const int32_t> rows, Tensor out) {
  inside<&Ops::gather_rows>(x, rows, out);
}

void FencedOps::gather_rows_backward(ConstTensor dout, std::span<const int32_t> rows, Tensor dx) {
  inside<&Ops::gather_rows_backward>(dout, rows, dx);
}

void FencedOps::add(Tensor x, ConstTensor y) {
  inside<&Ops::add>(x, y);
}

void FencedOps::rms_norm(ConstTensor x, std::span<const float> w, int64_t groups, float eps,
                         Tensor out, float* rstd) {
  inside<&Ops::rms_norm>(x, w, groups, eps, out, rstd);
}

void FencedOps::rms_norm_backward(ConstTensor dout, ConstTensor x, std::span<const float> w,
                                  int64_t groups, const float* rstd, bool add, Tensor dx,
                                  float* dw) {
  inside<&Ops::rms_norm_backward>(dout, x, w, groups, rstd, add, dx, dw);
}

void FencedOps::rope(Tensor x, int64_t head_dim, bool interleaved,
                     std::span<const int32_t> positions, ConstTensor cos_sin) {
  inside<&Ops::rope>(x, head_dim, interleaved, positions, cos_sin);
}

void FencedOps::rope_backward(Tensor dx, int64_t head_dim, bool interleaved,
                              std::span<const int32_t> positions, ConstTensor cos_sin) {
  inside<&Ops::rope_backward>(dx, head_dim, interleaved, positions, cos_sin);
}

void FencedOps::copy_heads(ConstTensor x, int64_t x_step, Tensor out, int64_t out_step,
                           int64_t heads, int64_t width, bool add) {
  inside<&Ops::copy_heads>(x, x_step, out, out_step, heads, width, add);
}

void FencedOps::swiglu(ConstTensor gate_up, Tensor out) {
  inside<&Ops::swiglu>(gate_up, out);
}

void FencedOps::swiglu_backward(ConstTensor dout, ConstTensor gate_up, Tensor dgate_up) {
  inside<&Ops::swiglu_backward>(dout, gate_up, dgate_up);
}

void FencedOps::route(ConstTensor logits, const float* bias, const Routing& routing,
                      int32_t* expert, float* weight) {
  inside<&Ops::route>(logits, bias, routing, expert, weight);
}

void FencedOps::route_backward(const float* dweight, ConstTensor logits, const int32_t* expert,
                               const Routing& routing, Tensor dlogits) {
  inside<&Ops::route_backward>(dweight, logits, expert, routing, dlogits);
}

void FencedOps::sort_by_expert(std::span<const int32_t> expert, int64_t chosen, int64_t experts,
                               int32_t* slot, int32_t* row, int32_t* first) {
  inside<&Ops::sort_by_expert>(expert, chosen, experts, slot, row, first);
}

void FencedOps::count_copies(const int32_t* first, std::span<int64_t> loads) {
  inside<&Ops::count_copies>(first, loads);
}

void FencedOps::matmul_experts(ConstTensor x, std::span<const PackedWeight> experts,
                               const int32_t* first, Tensor out) {
  inside<&Ops::matmul_experts>(x, experts, first, out);
}

void FencedOps::matmul_mapped_experts(ConstTensor x,
                                      std::span<const std::span<const MappedWeight>> experts,
                                      const int32_t* first, Tensor out) {
  inside<&Ops::matmul_mapped_experts>(x, experts, first, out);
}

void FencedOps::matmul_experts_backward_weight(ConstTensor dout, ConstTensor x, DType dtype,
                                               const int32_t* first, std::span<const Tensor> dw) {
  inside<&Ops::matmul_experts_backward_weight>(dout, x, dtype, first, dw);
}

void FencedOps::combine_rows(ConstTensor y, std::span<const int32_t> slot, const float* weight,
                             bool add, Tensor out) {
  inside<&Ops::combine_rows>(y, slot, weight, add, out);
}

void FencedOps::combine_rows_backward(ConstTensor dout, ConstTensor y,
                                      std::span<const int32_t> slot, const float* weight, Tensor dy,
                                      float* dweight) {
  inside<&Ops::combine_rows_backward>(dout, y, slot, weight, dy, dweight);
}

void FencedOps::kv_append(ConstTensor k, ConstTensor v, Sequences seqs, KvLayer kv) {
  inside<&Ops::kv_append>(k, v, seqs, kv);
}

void FencedOps::kv_append_backward(KvLayer dkv, Sequences seqs, Tensor dk, Tensor dv) {
  inside<&Ops::kv_append_backward>(dkv, seqs, dk, dv);
}

void FencedOps::kv_copy(std::span<const PageCopy> copies, KvLayer kv) {
  inside<&Ops::kv_copy>(copies, kv);
}

void FencedOps::kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) {
  inside<&Ops::kv_copy_backward>(copies, dkv);
}

void FencedOps::attention(ConstTensor q, Sequences seqs, KvLayer kv, float scale, Tensor out,
                          float* lse) {
  inside<&Ops::attention>(q, seqs, kv, scale, out, lse);
}

void FencedOps::attention_backward(ConstTensor dout, ConstTensor q, ConstTensor out,
                                   const float* lse, Sequences seqs, KvLayer kv, float scale,
                                   Tensor dq, KvLayer dkv) {
  inside<&Ops::attention_backward>(dout, q, out, lse, seqs, kv, scale, dq, dkv);
}

void FencedOps::log_softmax(ConstTensor logits, std::span<const int32_t> targets, float* logprob,
                            float* max, float* log_sum, float* entropy) {
  inside<&Ops::log_softmax>(logits, targets, logprob, max, log_sum, entropy);
}

void FencedOps::log_softmax_backward(Tensor logits, std::span<const int32_t> targets,
                                     const float* dlogprob, const float* max, const float* log_sum,
                                     float scale) {
  inside<&Ops::log_softmax_backward>(logits, targets, dlogprob, max, log_sum, scale);
}

void FencedOps::shape_logits(Tensor logits, std::span<const LogitShape> shapes) {
  inside<&Ops::shape_logits>(logits, shapes);
}

void FencedOps::argmax(ConstTensor logits, int32_t* token, float* value) {
  inside<&Ops::argmax>(logits, token, value);
}

void FencedOps::sample(ConstTensor logits, const float* uniform, int32_t* token) {
  inside<&Ops::sample>(logits, uniform, token);
}

void FencedOps::scale(Tensor x, float factor) {
  inside<&Ops::scale>(x, factor);
}

double FencedOps::sum_squares(std::span<const float> x) {
  return inside<&Ops::sum_squares>(x);
}

void FencedOps::adamw(const AdamW& hyper, std::span<float> w, std::span<const float> grad,
                      std::span<float> m, std::span<float> v) {
  inside<&Ops::adamw>(hyper, w, grad, m, v);
}

}  // namespace r1
