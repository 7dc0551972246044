// Multi-head latent attention (DeepSeek-V2, 2024, section 2.1; DeepSeek-V3, section 2.1.1):
//
//   q = q_b(rms_norm(q_a(x)))              or q = q_a(x), without compression
//   [c, k_rope] = kv_a(x);   c = rms_norm(c)
//   head h:  q = [q_nope, rope(q_rope)],  k = [k_b[h] c, rope(k_rope)],  v = v_b[h] c
//   out = attention_out(attention(q, k, v))
//
// c and rope(k_rope) are all that the cache keeps of a token. From there two ways lead to the same
// numbers but for rounding, so a model uses one of them for everything (ModelConfig::mla_expanded):
//
//   absorbed   queries go to the latent space, q' = [k_b[h]^T q_nope, rope(q_rope)]: all heads read
//              one latent KV head whose values are c, and v_b[h] is applied to what they read.
//              A query and a key cost 2 kv_lora_rank + qk_rope_head_dim multiply-adds a head.
//   expanded   keys and values of all heads are made from the latent pages of the batch's
//              sequences: qk_head_dim + v_head_dim a head, but a decoding row makes them anew for
//              its whole context.
//
// So absorbed where anything is sampled, expanded where sequences are only trained on or scored and
// the heads are narrower: mla_expanded_is_cheaper.
#pragma once

#include "model/pass.h"

namespace r1 {

// The expanded form's own pages, for the latent cache's pages that a batch's sequences read: listed
// once a pass, for all layers.
struct ExpandedPages {
  ExpandedPages() = default;
  // Moved, never copied: sequences point into the tables.
  ExpandedPages(ExpandedPages&&) = default;
  ExpandedPages& operator=(ExpandedPages&&) = default;

  void list(const Batch& batch, Ops& ops);
  int64_t count() const { return std::ssize(pages); }

  std::vector<int32_t> pages;                           // of the latent cache, by first occurrence
  std::vector<int32_t> compact;                         // 0, 1, 2, ...: their numbers here
  std::vector<std::vector<int32_t>> tables;             // each sequence's, by the numbers here
  std::vector<Sequence> host_seqs;                      // the batch's, with these tables
  std::vector<Sequence> host_latent_slots, host_slots;  // each page's filled slots: there and here
  DeviceBatch seqs, latent_slots, slots;                // the same for ops, as sequences
  int64_t rows = 0;                                     // filled slots
};

// What backward needs of the forward pass.   T rows, H heads
struct Mla::Saved {
  Tensor qkv_a_TN;       // qkv_a's product
  Tensor q_norm_TQ;      // rms_norm of the compressed query
  Tensor q_TN;           // rotated queries [T, H qk_head_dim]
  Tensor latent_TN;      // c and rope(k_rope)
  Tensor latent_q_TN;    // absorbed: [T, H latent_width]
  Tensor latent_att_TN;  // absorbed: [T, H kv_lora_rank]
  Tensor expanded_RN;    // expanded: c and rope(k_rope) of the R filled slots of the pages
  KvLayer expanded_kv;   // expanded: the heads' keys and values
  Tensor att_TN;         // attention's output [T, H v_head_dim]
  float *q_rstd = nullptr, *kv_rstd = nullptr, *lse = nullptr;
};

// Latent vectors of layer `layer` go to the pass's pages.
Mla::Saved forward(Pass& p, int64_t layer, const Mla& w, ConstTensor x_TC, Tensor out_TC);

// Writes dx, adds the weights' gradients.
void backward(Pass& p, int64_t layer, const Mla& w, ConstTensor x_TC, const Mla::Saved& s,
              ConstTensor dout_TC, Gradients& g, Tensor dx_TC);

// For sequences that are never decoded.
inline bool mla_expanded_is_cheaper(const ModelConfig& c) {
  return c.mla() && c.qk_nope_head_dim + c.v_head_dim < 2 * c.kv_lora_rank;
}

}  // namespace r1
