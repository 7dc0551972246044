#include "model/decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace r1 {

// One pass: the things every step of it needs.   T rows  C width  H, G heads  F feed-forward
class Decoder {
 public:
  Decoder(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Arena& arena)
      : model_(model),
        config_(model.config()),
        batch_(batch),
        kv_(kv),
        ops_(ops),
        arena_(arena),
        rows_(batch.rows()) {}

  Tensor tensor(int64_t rows, int64_t cols) { return {arena_.floats(rows * cols), rows, cols}; }

  // Everything but x, which is the previous block's output.
  Saved allocate() {
    const int64_t c = config_.hidden_size, q = config_.query_width(), k = config_.kv_width();
    Saved s{};
    s.norm_TC = tensor(rows_, c);
    s.qkv_TN = tensor(rows_, config_.qkv_width());
    s.qk_TN = config_.qk_norm ? tensor(rows_, q + k) : s.qkv_TN.slice_cols(0, q + k);
    s.att_TC = tensor(rows_, q);
    s.mid_TC = tensor(rows_, c);
    s.norm2_TC = tensor(rows_, c);
    s.gate_up_TF = tensor(rows_, 2 * config_.intermediate_size);
    s.act_TF = tensor(rows_, config_.intermediate_size);
    s.rstd = arena_.floats(rows_);
    s.rstd2 = arena_.floats(rows_);
    s.lse = arena_.floats(rows_ * config_.num_attention_heads);
    if (config_.qk_norm) {
      s.q_rstd = arena_.floats(rows_ * config_.num_attention_heads);
      s.k_rstd = arena_.floats(rows_ * config_.num_key_value_heads);
    }
    return s;
  }

  Tensor q_of(const Tensor& qk) const { return qk.slice_cols(0, config_.query_width()); }
  Tensor k_of(const Tensor& qk) const {
    return qk.slice_cols(config_.query_width(), config_.kv_width());
  }
  Tensor v_of(const Tensor& qkv) const {
    return qkv.slice_cols(config_.query_width() + config_.kv_width(), config_.kv_width());
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(config_.head_dim)); }
  float eps() const { return static_cast<float>(config_.rms_norm_eps); }
  void product(ConstTensor x, const Linear& w, Tensor out) {
    ops_.matmul(x, w.packed, w.bias, false, out);
  }

  // out = block(s.x)
  void block(int64_t layer, Saved& s, Tensor out) {
    const Block& w = model_.blocks()[static_cast<size_t>(layer)];
    const Tensor q = q_of(s.qk_TN), k = k_of(s.qk_TN);

    ops_.rms_norm(s.x_TC, w.attention_norm, 1, eps(), s.norm_TC, s.rstd);
    product(s.norm_TC, w.qkv, s.qkv_TN);
    if (config_.qk_norm) {
      ops_.rms_norm(q_of(s.qkv_TN), w.q_norm, config_.num_attention_heads, eps(), q, s.q_rstd);
      ops_.rms_norm(k_of(s.qkv_TN), w.k_norm, config_.num_key_value_heads, eps(), k, s.k_rstd);
    }
    ops_.rope(s.qk_TN, config_.head_dim, batch_.positions, model_.cos_sin());
    ops_.kv_append(k, v_of(s.qkv_TN), batch_.seqs, kv_.layer(layer));
    ops_.kv_copy(batch_.copies, kv_.layer(layer));
    ops_.attention(q, batch_.seqs, kv_.layer(layer), scale(), s.att_TC, s.lse);
    product(s.att_TC, w.attention_out, s.mid_TC);
    ops_.add(s.mid_TC, s.x_TC);

    ops_.rms_norm(s.mid_TC, w.mlp_norm, 1, eps(), s.norm2_TC, s.rstd2);
    product(s.norm2_TC, w.gate_up, s.gate_up_TF);
    ops_.swiglu(s.gate_up_TF, s.act_TF);
    product(s.act_TF, w.down, out);
    ops_.add(out, s.mid_TC);
  }

  // Temporaries of backward, shared by all blocks.
  struct Scratch {
    Tensor dnorm_TC, datt_TC, dqkv_TN, dgate_up_TF, dact_TF;
    KvCache dkv;
    int64_t pages = 0;
  };

  Scratch allocate_scratch() {
    Scratch t;
    t.dnorm_TC = tensor(rows_, config_.hidden_size);
    t.datt_TC = tensor(rows_, config_.query_width());
    t.dqkv_TN = tensor(rows_, config_.qkv_width());
    t.dgate_up_TF = tensor(rows_, 2 * config_.intermediate_size);
    t.dact_TF = tensor(rows_, config_.intermediate_size);
    for (const Sequence& s : batch_.seqs) {
      for (int64_t p = 0; p < pages_for(s.position + s.count); ++p) {
        t.pages = std::max<int64_t>(t.pages, s.pages[p] + 1);
      }
    }
    t.dkv = KvCache(config_, 1, t.pages);
    return t;
  }

  // The gradient of a product's input, and its weight's and bias's.
  void product_backward(ConstTensor dout, ConstTensor x, const Linear& w, Gradients& g, Tensor dx) {
    ops_.matmul_backward_weight(dout, x, g.of(w.master));
    if (w.bias) ops_.matmul_backward_bias(dout, g.of(w.bias));
    ops_.matmul(dout, w.transposed, nullptr, false, dx);
  }

  // dx is the gradient of the block's output, and becomes that of its input.
  void block_backward(int64_t layer, const Saved& s, Tensor dx, Scratch& t, Gradients& g) {
    const Block& w = model_.blocks()[static_cast<size_t>(layer)];
    const Tensor q = q_of(s.qk_TN), dq = q_of(t.dqkv_TN), dk = k_of(t.dqkv_TN);

    product_backward(dx, s.act_TF, w.down, g, t.dact_TF);
    ops_.swiglu_backward(t.dact_TF, s.gate_up_TF, t.dgate_up_TF);
    product_backward(t.dgate_up_TF, s.norm2_TC, w.gate_up, g, t.dnorm_TC);
    ops_.rms_norm_backward(t.dnorm_TC, s.mid_TC, w.mlp_norm, 1, s.rstd2, true, dx,
                           g.of(w.mlp_norm));

    product_backward(dx, s.att_TC, w.attention_out, g, t.datt_TC);
    t.dkv.clear(t.pages);
    const KvLayer dkv = t.dkv.layer(0);
    ops_.attention_backward(t.datt_TC, q, s.att_TC, s.lse, batch_.seqs, kv_.layer(layer), scale(),
                            dq, dkv);
    ops_.kv_copy_backward(batch_.copies, dkv);
    ops_.kv_append_backward(dkv, batch_.seqs, dk, v_of(t.dqkv_TN));
    ops_.rope_backward(t.dqkv_TN.slice_cols(0, s.qk_TN.cols), config_.head_dim, batch_.positions,
                       model_.cos_sin());
    if (config_.qk_norm) {
      ops_.rms_norm_backward(dq, q_of(s.qkv_TN), w.q_norm, config_.num_attention_heads, s.q_rstd,
                             false, dq, g.of(w.q_norm));
      ops_.rms_norm_backward(dk, k_of(s.qkv_TN), w.k_norm, config_.num_key_value_heads, s.k_rstd,
                             false, dk, g.of(w.k_norm));
    }
    product_backward(t.dqkv_TN, s.norm_TC, w.qkv, g, t.dnorm_TC);
    ops_.rms_norm_backward(t.dnorm_TC, s.x_TC, w.attention_norm, 1, s.rstd, true, dx,
                           g.of(w.attention_norm));
  }

 private:
  const Model& model_;
  const ModelConfig& config_;
  const Batch& batch_;
  KvCache& kv_;
  Ops& ops_;
  Arena& arena_;
  int64_t rows_;
};

void forward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
             Tensor hidden) {
  using Keep = Activations::Keep;
  const int64_t c = model.config().hidden_size, rows = batch.rows();
  const int64_t layers = model.config().num_hidden_layers;
  memory.arena_.reset();
  memory.blocks_.clear();
  Decoder d(model, batch, kv, ops, memory.arena_);

  Tensor x = d.tensor(rows, c);
  ops.embed(batch.tokens, model.embedding(), x);
  for (int64_t layer = 0; layer < layers; ++layer) {
    if (layer == 0 || memory.keep_ == Keep::kAll) {
      memory.blocks_.push_back(d.allocate());
    } else if (memory.keep_ == Keep::kBlockInputs) {
      memory.blocks_.push_back(memory.blocks_[0]);
    }
    Saved& s = memory.blocks_.back();
    // Without a backward two buffers take turns as input and output.
    const bool reuse = memory.keep_ == Keep::kNothing && layer > 0;
    const Tensor out = reuse ? s.x_TC : d.tensor(rows, c);
    s.x_TC = x;
    d.block(layer, s, out);
    x = out;
  }
  memory.last_TC_ = x;
  memory.last_rstd_ = memory.arena_.floats(rows);
  memory.final_TC_ = d.tensor(rows, c);
  ops.rms_norm(x, model.final_norm(), 1, static_cast<float>(model.config().rms_norm_eps),
               memory.final_TC_, memory.last_rstd_);
  ops.gather_rows(memory.final_TC_, batch.outputs, hidden);
}

void backward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
              ConstTensor dhidden, Gradients& gradients) {
  using Keep = Activations::Keep;
  R1_CHECK(memory.keep_ != Keep::kNothing && model.use() == Model::Use::kTraining);
  Decoder d(model, batch, kv, ops, memory.arena_);
  auto scratch = d.allocate_scratch();

  Tensor dx = d.tensor(batch.rows(), model.config().hidden_size);
  std::memset(dx.data, 0, static_cast<size_t>(dx.rows * dx.cols) * sizeof(float));
  ops.gather_rows_backward(dhidden, batch.outputs, dx);
  ops.rms_norm_backward(dx, memory.last_TC_, model.final_norm(), 1, memory.last_rstd_, false, dx,
                        gradients.of(model.final_norm()));
  for (int64_t layer = model.config().num_hidden_layers; layer-- > 0;) {
    Saved& s = memory.blocks_[static_cast<size_t>(layer)];
    // The same operations on the same input: the same bits, in the activations and in kv.
    if (memory.keep_ == Keep::kBlockInputs) d.block(layer, s, scratch.dnorm_TC);
    d.block_backward(layer, s, dx, scratch, gradients);
  }
  const Tensor table = {const_cast<float*>(model.embedding().data), model.embedding().rows,
                        model.embedding().cols};
  ops.embed_backward(batch.tokens, dx, gradients.of(table));
}

}  // namespace r1
