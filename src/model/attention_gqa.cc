#include "model/attention_gqa.h"

#include <cmath>

namespace r1 {
namespace {

// Columns of qkv (or of q and k alone).
Tensor q_of(const ModelConfig& c, const Tensor& qk) {
  return qk.slice_cols(0, c.query_width());
}
Tensor k_of(const ModelConfig& c, const Tensor& qk) {
  return qk.slice_cols(c.query_width(), c.kv_width());
}
Tensor v_of(const ModelConfig& c, const Tensor& qkv) {
  return qkv.slice_cols(c.query_width() + c.kv_width(), c.kv_width());
}
float scale_of(const ModelConfig& c) {
  return 1.0f / std::sqrt(static_cast<float>(c.head_dim));
}

}  // namespace

Gqa::Saved forward(Pass& p, int64_t layer, const Gqa& w, ConstTensor x, Tensor out) {
  const ModelConfig& c = p.config();
  const int64_t qk_width = c.query_width() + c.kv_width();
  const KvLayer kv = p.kv.layer(layer);
  Gqa::Saved s;
  s.qkv_TN = p.keep(c.qkv_width());
  s.qk_TN = c.qk_norm ? p.keep(qk_width) : s.qkv_TN.slice_cols(0, qk_width);
  s.att_TC = p.keep(c.query_width());
  s.lse = p.keep_floats(p.rows() * c.num_attention_heads);
  const Tensor q = q_of(c, s.qk_TN), k = k_of(c, s.qk_TN);

  p.product(x, w.qkv, s.qkv_TN);
  if (c.qk_norm) {
    s.q_rstd = p.keep_floats(p.rows() * c.num_attention_heads);
    s.k_rstd = p.keep_floats(p.rows() * c.num_key_value_heads);
    p.ops.rms_norm(q_of(c, s.qkv_TN), w.q_norm, c.num_attention_heads, p.eps(), q, s.q_rstd);
    p.ops.rms_norm(k_of(c, s.qkv_TN), w.k_norm, c.num_key_value_heads, p.eps(), k, s.k_rstd);
  }
  p.ops.rope(s.qk_TN, c.head_dim, false, p.batch.positions, p.cos_sin);
  p.ops.kv_append(k, v_of(c, s.qkv_TN), p.batch.seqs, kv);
  p.ops.kv_copy(p.batch.copies, kv);
  p.ops.attention(q, p.batch.seqs, kv, scale_of(c), s.att_TC, s.lse);
  p.product(s.att_TC, w.out, out);
  return s;
}

void backward(Pass& p, int64_t layer, const Gqa& w, ConstTensor x, const Gqa::Saved& s,
              ConstTensor dout, Gradients& g, Tensor dx) {
  const ModelConfig& c = p.config();
  const KvLayer kv = p.kv.layer(layer), dkv = p.zero_pages(kv, p.pages);
  const Tensor datt = p.temporary(c.query_width()), dqkv = p.temporary(c.qkv_width());
  const Tensor q = q_of(c, s.qk_TN), dq = q_of(c, dqkv), dk = k_of(c, dqkv);

  p.product_backward(dout, s.att_TC, w.out, g, datt);
  p.ops.attention_backward(datt, q, s.att_TC, s.lse, p.batch.seqs, kv, scale_of(c), dq, dkv);
  p.ops.kv_copy_backward(p.batch.copies, dkv);
  p.ops.kv_append_backward(dkv, p.batch.seqs, dk, v_of(c, dqkv));
  p.ops.rope_backward(dqkv.slice_cols(0, s.qk_TN.cols), c.head_dim, false, p.batch.positions,
                      p.cos_sin);
  if (c.qk_norm) {
    p.ops.rms_norm_backward(dq, q_of(c, s.qkv_TN), w.q_norm, c.num_attention_heads, s.q_rstd, false,
                            dq, g.of(w.q_norm));
    p.ops.rms_norm_backward(dk, k_of(c, s.qkv_TN), w.k_norm, c.num_key_value_heads, s.k_rstd, false,
                            dk, g.of(w.k_norm));
  }
  p.product_backward(dqkv, x, w.qkv, g, dx);
}

}  // namespace r1
