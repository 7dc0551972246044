// Ops on the CPU: splits each op into tasks for the thread pool and hands them to the kernels of
// one instruction set. How an op is split never shows in a result.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/ops.h"
#include "backend/panels.h"
#include "base/thread_pool.h"
#include "tensor/buffer.h"

namespace r1::cpu {

// About this many floats of work make a task worth handing to another thread.
inline constexpr int64_t kTaskFloats = 16 * 1024;

inline int64_t rows_per_task(int64_t floats_a_row) {
  return std::max<int64_t>(1, kTaskFloats / std::max<int64_t>(1, floats_a_row));
}

class CpuOps : public Ops {
 public:
  CpuOps(ThreadPool& pool, const Kernels& kernels) : pool_(pool), kernels_(kernels) {}

  const char* name() const override { return "cpu"; }
  const char* isa() const override { return kernels_.isa; }
  int threads() const override { return pool_.threads(); }

  int64_t packed_bytes(DType dtype, int64_t n, int64_t k) const override {
    return panel_bytes(dtype, n, k);
  }
  void pack(ConstTensor w, PackedWeight packed) override { pack_any(w, false, packed); }
  void pack_transposed(ConstTensor w, PackedWeight packed) override { pack_any(w, true, packed); }
  void matmul(ConstTensor x, const PackedWeight& w, const float* bias, bool add,
              Tensor out) override;
  void matmul_mapped(ConstTensor x, std::span<const MappedWeight> parts, const float* bias,
                     bool add, Tensor out) override;
  void matmul_swiglu(ConstTensor x, const PackedWeight& w, Tensor gate_up, Tensor out) override;
  void matmul_mapped_swiglu(ConstTensor x, std::span<const MappedWeight> parts, Tensor gate_up,
                            Tensor out) override;
  int64_t repacked_bytes(const MappedWeight& w) const override;
  MappedWeight repack(const MappedWeight& w, std::byte* out) override;
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
            ConstTensor cos_sin) override {
    rotate(x, head_dim, interleaved, positions, cos_sin, 1.0f);
  }
  void rope_backward(Tensor dx, int64_t head_dim, bool interleaved,
                     std::span<const int32_t> positions, ConstTensor cos_sin) override {
    rotate(dx, head_dim, interleaved, positions, cos_sin, -1.0f);
  }
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
  // A product cut into tasks: its panels into pieces, each with kMatmulRows rows after another.
  struct ProductPlan {
    Matmul m;
    const Kernels* kernels;
    // Of swiglu, whose gate m is: the other half, and its result.
    Matmul up = {};
    Tensor act = {};
    bool keep = false;              // both halves are written to their outs
    int64_t pieces = 0, tasks = 0;  // run_products chooses them

    void fuse_swiglu(const Matmul& other, Tensor gate_up, Tensor out);
    int64_t panels() const;
    int64_t most_panels() const;  // of a task
    void run(int64_t i) const;
    void run_swiglu(int64_t row, int64_t row_end, int64_t panel, int64_t panel_end) const;
  };
  static constexpr int64_t kFuseRows = 8;  // for fewer a weight's one stream is worth more
  struct InputPlan;
  struct WeightPlan;
  static int64_t grouped_floats(const Product& p);
  ProductPlan plan_product(const Product& p, const float* bias, bool add, const float* input);
  std::vector<const float*> group_inputs(std::span<const Product> products);
  void multiply(std::span<const Product> products, const float* bias, bool add);
  std::vector<ProductPlan> plan_mapped(ConstTensor x, std::span<const MappedWeight> parts,
                                       const float* bias, bool add, Tensor out);
  void run_products(std::vector<ProductPlan>& plans);
  WeightPlan plan_weight(const WeightGradient& g);
  template <class Plan>
  void run_all(const std::vector<Plan>& plans);
  void pack_any(ConstTensor w, bool transpose, PackedWeight packed);
  void rotate(Tensor x, int64_t head_dim, bool interleaved, std::span<const int32_t> positions,
              ConstTensor cos_sin, float sign);
  // Calls f(begin, end) for pieces of [0, count) of about `grain`, each a multiple of `unit`.
  template <class F>
  void split(int64_t count, int64_t grain, int64_t unit, F&& f);
  float* scratch(int64_t floats);

  ThreadPool& pool_;
  const Kernels& kernels_;
  Buffer scratch_;
};

template <class F>
void CpuOps::split(int64_t count, int64_t grain, int64_t unit, F&& f) {
  if (count <= 0) return;
  const int64_t step = (grain < unit ? unit : (grain + unit - 1) / unit * unit);
  pool_.run((count + step - 1) / step,
            [&](int64_t i) { f(i * step, i * step + step < count ? i * step + step : count); });
}

}  // namespace r1::cpu
