// The oracle: every op as a scalar, single-threaded statement of its meaning (ref_math.h,
// ref_attention.h). Other backends are tested against it; nobody should wait for it.
#pragma once

#include <memory>

#include "backend/ops.h"
#include "backend/panels.h"

namespace r1 {

class RefOps : public Ops {
 public:
  const char* name() const override { return "ref"; }
  const char* isa() const override { return "scalar"; }
  int threads() const override { return 1; }

  int64_t packed_bytes(DType dtype, int64_t n, int64_t k) const override {
    return panel_bytes(dtype, n, k);
  }
  void pack(ConstTensor w, PackedWeight packed) override;
  void pack_transposed(ConstTensor w, PackedWeight packed) override;
  void matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add,
              Tensor out) override;
  void matmul_mapped(ConstTensor x, std::span<const MappedWeight> parts, const float* bias,
                     bool add, Tensor out) override;
  int64_t repacked_bytes(const MappedWeight&) const override { return 0; }
  MappedWeight repack(const MappedWeight& w, std::byte*) override { return w; }
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
};

std::unique_ptr<Ops> make_ref_ops();

}  // namespace r1
