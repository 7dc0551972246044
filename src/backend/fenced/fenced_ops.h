// For tests only: another backend's ops over fenced memory, which stands for a device's. It proves
// both halves of the law of memory (ops.h) without a device: a host that touches what is the
// backend's dies, and an op that is given what is the host's is refused.
#pragma once

#include <memory>

#include "backend/fenced/fenced_memory.h"
#include "backend/ops.h"

namespace r1 {

class FencedOps : public Ops {
 public:
  // `inner` must be a backend whose memory is the host's.
  explicit FencedOps(std::unique_ptr<Ops> inner);

  const char* name() const override { return "fenced"; }
  const char* isa() const override { return inner_->isa(); }
  int threads() const override { return inner_->threads(); }

  Allocator& memory() override { return memory_; }
  void zero(void* to, size_t bytes) override;
  void copy(const void* from, void* to, size_t bytes) override;
  void upload(const void* host, void* to, size_t bytes) override;
  void download(const void* from, void* host, size_t bytes) override;
  void begin(const BatchArrays& host, DeviceBatch& batch) override;
  const std::byte* adopt(std::span<const std::byte> file, Buffer& copy) override;
  const std::byte* view(const void* from, size_t bytes, std::vector<std::byte>& copy) override;

  int64_t packed_bytes(DType dtype, int64_t n, int64_t k) const override {
    return inner_->packed_bytes(dtype, n, k);
  }
  int64_t repacked_bytes(const MappedWeight& w) const override { return inner_->repacked_bytes(w); }
  void pack(ConstTensor w, PackedWeight packed) override;
  void pack_transposed(ConstTensor w, PackedWeight packed) override;
  MappedWeight repack(const MappedWeight& w, std::byte* out) override;
  void matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add,
              Tensor out) override;
  void matmul_mapped(ConstTensor x, std::span<const MappedWeight> parts, const float* bias,
                     bool add, Tensor out) override;
  void matmul_swiglu(ConstTensor x, const PackedWeight& w, Tensor gate_up, Tensor out) override;
  void matmul_mapped_swiglu(ConstTensor x, std::span<const MappedWeight> parts, Tensor gate_up,
                            Tensor out) override;
  void matmul_backward_weight(ConstTensor dout, ConstTensor x, DType dtype, Tensor dw) override;
  void matmul_backward_bias(ConstTensor dout, float* dbias) override;
  void matmuls(std::span<const Product> products) override;
  void matmuls_backward_weight(std::span<const WeightGradient> gradients) override;
  void embed(std::span<const int32_t> ids, ConstTensor table, Tensor out) override;
  void embed_mapped(std::span<const int32_t> ids, const MappedWeight& table, Tensor out) override;
  void embed_backward(std::span<const int32_t> ids, ConstTensor dout, Tensor dtable) override;
  void gather_rows(ConstTensor x, std::span<const int32_t> rows, Tensor out) override;
  void gather_rows_backward(ConstTensor dout, std::span<const int32_t> rows, Tensor dx) override;
  void add(Tensor x, ConstTensor y) override;
  void rms_norm(ConstTensor x, std::span<const float> w, int64_t groups, float eps, Tensor out,
                float* rstd) override;
  void rms_norm_backward(ConstTensor dout, ConstTensor x, std::span<const float> w, int64_t groups,
                         const float* rstd, bool add, Tensor dx, float* dw) override;
  void rope(Tensor x, int64_t head_dim, bool interleaved, std::span<const int32_t> positions,
            ConstTensor cos_sin) override;
  void rope_backward(Tensor dx, int64_t head_dim, bool interleaved,
                     std::span<const int32_t> positions, ConstTensor cos_sin) override;
  void copy_heads(ConstTensor x, int64_t x_step, Tensor out, int64_t out_step, int64_t heads,
                  int64_t width, bool add) override;
  void swiglu(ConstTensor gate_up, Tensor out) override;
  void swiglu_backward(ConstTensor dout, ConstTensor gate_up, Tensor dgate_up) override;
  void route(ConstTensor logits, const float* bias, const Routing& routing, int32_t* expert,
             float* weight) override;
  void route_backward(const float* dweight, ConstTensor logits, const int32_t* expert,
                      const Routing& routing, Tensor dlogits) override;
  void sort_by_expert(std::span<const int32_t> expert, int64_t chosen, int64_t experts,
                      int32_t* slot, int32_t* row, int32_t* first) override;
  void count_copies(const int32_t* first, std::span<int64_t> loads) override;
  void matmul_experts(ConstTensor x, std::span<const PackedWeight> experts, const int32_t* first,
                      Tensor out) override;
  void matmul_mapped_experts(ConstTensor x, std::span<const std::span<const MappedWeight>> experts,
                             const int32_t* first, Tensor out) override;
  void matmul_experts_backward_weight(ConstTensor dout, ConstTensor x, DType dtype,
                                      const int32_t* first, std::span<const Tensor> dw) override;
  void combine_rows(ConstTensor y, std::span<const int32_t> slot, const float* weight, bool add,
                    Tensor out) override;
  void combine_rows_backward(ConstTensor dout, ConstTensor y, std::span<const int32_t> slot,
                             const float* weight, Tensor dy, float* dweight) override;
  void kv_append(ConstTensor k, ConstTensor v, Sequences seqs, KvLayer kv) override;
  void kv_append_backward(KvLayer dkv, Sequences seqs, Tensor dk, Tensor dv) override;
  void kv_copy(std::span<const PageCopy> copies, KvLayer kv) override;
  void kv_copy_backward(std::span<const PageCopy> copies, KvLayer dkv) override;
  void attention(ConstTensor q, Sequences seqs, KvLayer kv, float scale, Tensor out,
                 float* lse) override;
  void attention_backward(ConstTensor dout, ConstTensor q, ConstTensor out, const float* lse,
                          Sequences seqs, KvLayer kv, float scale, Tensor dq, KvLayer dkv) override;
  void log_softmax(ConstTensor logits, std::span<const int32_t> targets, float* logprob, float* max,
                   float* log_sum, float* entropy) override;
  void log_softmax_backward(Tensor logits, std::span<const int32_t> targets, const float* dlogprob,
                            const float* max, const float* log_sum, float scale) override;
  void shape_logits(Tensor logits, std::span<const LogitShape> shapes) override;
  void argmax(ConstTensor logits, int32_t* token, float* value) override;
  void sample(ConstTensor logits, const float* uniform, int32_t* token) override;
  void scale(Tensor x, float factor) override;
  double sum_squares(std::span<const float> x) override;
  void adamw(const AdamW& hyper, std::span<float> w, std::span<const float> grad,
             std::span<float> m, std::span<float> v) override;

 private:
  // Calls the inner backend's op inside the fence, after a look at where its operands lie.
  template <auto op, class... Args>
  auto inside(const Args&... args);

  std::unique_ptr<Ops> inner_;
  FencedMemory& memory_;
};

}  // namespace r1
