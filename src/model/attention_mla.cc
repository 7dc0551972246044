#include "model/attention_mla.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace r1 {
namespace {

constexpr float kLatentEps = 1e-6f;  // of the norms of latent vectors, whatever rms_norm_eps

// Widths by short names.   L latent, R rotated, D = P + R a head's key, P its plain part, V its
// value
struct Widths {
  explicit Widths(const ModelConfig& c)
      : heads(c.num_attention_heads),
        L(c.kv_lora_rank),
        R(c.qk_rope_head_dim),
        P(c.qk_nope_head_dim),
        V(c.v_head_dim),
        q(c.q_lora_rank > 0 ? c.q_lora_rank : heads * (P + R)),
        scale(static_cast<float>(c.rope_scaling.softmax_magnitude() /
                                 std::sqrt(static_cast<double>(P + R)))) {}
  int64_t heads, L, R, P, V;
  int64_t q;  // columns of qkv_a before the latent's
  float scale;
  int64_t D() const { return P + R; }
};

// Columns from `begin` on: where copy_heads starts.
template <class T>
T from(const T& x, int64_t begin) {
  return x.slice_cols(begin, x.cols - begin);
}

// One product a head: out's head h = x's head h times weights[h].
void head_products(Pass& p, const std::vector<Linear>& weights, PackedWeight Linear::*form,
                   ConstTensor x, int64_t x_step, Tensor out, int64_t out_step) {
  std::vector<Product> list;
  for (size_t h = 0; h < weights.size(); ++h) {
    const PackedWeight& w = weights[h].*form;
    const auto head = static_cast<int64_t>(h);
    list.push_back({x.slice_cols(head * x_step, w.k), &w, out.slice_cols(head * out_step, w.n)});
  }
  p.ops.matmuls(list);
}

// The gradient of each head's weight [N, K], from dout's heads of N and x's of K.
void head_gradients(Pass& p, const std::vector<Linear>& weights, ConstTensor dout,
                    int64_t dout_step, ConstTensor x, int64_t x_step, Gradients& g) {
  std::vector<WeightGradient> list;
  for (size_t h = 0; h < weights.size(); ++h) {
    const Tensor dw = g.of(weights[h].master);
    const auto head = static_cast<int64_t>(h);
    list.push_back({dout.slice_cols(head * dout_step, dw.rows),
                    x.slice_cols(head * x_step, dw.cols), weights[h].packed.dtype, dw});
  }
  p.ops.matmuls_backward_weight(list);
}

// --- absorbed ---

void attend_absorbed(Pass& p, const Mla& w, const KvLayer& kv, const Widths& n, Mla::Saved& s) {
  const int64_t width = n.L + n.R;
  s.latent_q_TN = p.keep(n.heads * width);
  s.latent_att_TN = p.keep(n.heads * n.L);
  head_products(p, w.k_b, &Linear::packed, s.q_TN, n.D(), s.latent_q_TN, width);
  p.ops.copy_heads(from(s.q_TN, n.P), n.D(), from(s.latent_q_TN, n.L), width, n.heads, n.R, false);
  p.ops.attention(s.latent_q_TN, p.batch.seqs, kv, n.scale, s.latent_att_TN, s.lse);
  head_products(p, w.v_b, &Linear::packed, s.latent_att_TN, n.L, s.att_TN, n.V);
}

void attend_absorbed_backward(Pass& p, const Mla& w, const KvLayer& kv, const Widths& n,
                              const Mla::Saved& s, ConstTensor datt, Gradients& g, Tensor dq,
                              const KvLayer& dkv) {
  const int64_t width = n.L + n.R;
  const Tensor dlatent_att = p.temporary(n.heads * n.L), dlatent_q = p.temporary(n.heads * width);
  head_gradients(p, w.v_b, datt, n.V, s.latent_att_TN, n.L, g);
  head_products(p, w.v_b, &Linear::transposed, datt, n.V, dlatent_att, n.L);
  p.ops.attention_backward(dlatent_att, s.latent_q_TN, s.latent_att_TN, s.lse, p.batch.seqs, kv,
                           n.scale, dlatent_q, dkv);
  p.ops.copy_heads(from(dlatent_q, n.L), width, from(dq, n.P), n.D(), n.heads, n.R, false);
  head_gradients(p, w.k_b, s.q_TN, n.D(), dlatent_q, width, g);
  head_products(p, w.k_b, &Linear::transposed, dlatent_q, width, dq, n.D());
}

// --- expanded ---

void attend_expanded(Pass& p, const Mla& w, const KvLayer& kv, const Widths& n, Mla::Saved& s) {
  const ExpandedPages& e = p.expanded;
  const int64_t rows = e.rows;
  const Tensor latent = s.expanded_RN = Pass::tensor(*p.kept, rows, n.L + n.R);
  KvLayer& own = s.expanded_kv;
  own.kv_heads = n.heads;
  own.key_dim = n.D();
  own.value_dim = n.V;
  const int64_t floats = e.count() * own.page_bytes() / static_cast<int64_t>(sizeof(float));
  own = kv_layer_at(own, p.keep_floats(floats), e.count());
  const Tensor both = Pass::tensor(*p.scratch, rows, n.heads * (n.P + n.V));
  const Tensor keys = Pass::tensor(*p.scratch, rows, n.heads * n.D());
  const Tensor values = Pass::tensor(*p.scratch, rows, n.heads * n.V);

  p.ops.kv_append_backward(kv, e.latent_slots.seqs, latent, {});  // which reads pages into rows
  p.product(latent.slice_cols(0, n.L), w.kv_b, both);
  p.ops.copy_heads(both, n.P + n.V, keys, n.D(), n.heads, n.P, false);
  p.ops.copy_heads(from(latent, n.L), 0, from(keys, n.P), n.D(), n.heads, n.R, false);
  p.ops.copy_heads(from(both, n.P), n.P + n.V, values, n.V, n.heads, n.V, false);
  p.ops.kv_append(keys, values, e.slots.seqs, own);
  p.ops.attention(s.q_TN, e.seqs.seqs, own, n.scale, s.att_TN, s.lse);
}

void attend_expanded_backward(Pass& p, const Mla& w, const Widths& n, const Mla::Saved& s,
                              ConstTensor datt, Gradients& g, Tensor dq, const KvLayer& dkv) {
  const ExpandedPages& e = p.expanded;
  const int64_t rows = e.rows;
  const Tensor dkeys = Pass::tensor(*p.scratch, rows, n.heads * n.D());
  const Tensor dvalues = Pass::tensor(*p.scratch, rows, n.heads * n.V);
  const Tensor dboth = Pass::tensor(*p.scratch, rows, n.heads * (n.P + n.V));
  const Tensor dlatent = Pass::tensor(*p.scratch, rows, n.L + n.R);
  const KvLayer dexpanded = p.zero_pages(s.expanded_kv, e.count());

  p.ops.attention_backward(datt, s.q_TN, s.att_TN, s.lse, e.seqs.seqs, s.expanded_kv, n.scale, dq,
                           dexpanded);
  p.ops.kv_append_backward(dexpanded, e.slots.seqs, dkeys, dvalues);
  p.ops.copy_heads(dvalues, n.V, from(dboth, n.P), n.P + n.V, n.heads, n.V, false);
  p.ops.copy_heads(dkeys, n.D(), dboth, n.P + n.V, n.heads, n.P, false);
  p.product_backward(dboth, s.expanded_RN.slice_cols(0, n.L), w.kv_b, g,
                     dlatent.slice_cols(0, n.L));
  const Tensor drope = from(dlatent, n.L);
  p.ops.copy_heads(from(dkeys, n.P), 0, drope, 0, 1, n.R, false);  // the first head, then the rest
  p.ops.copy_heads(from(dkeys, n.D() + n.P), n.D(), drope, 0, n.heads - 1, n.R, true);
  p.ops.kv_append(dlatent, {}, e.latent_slots.seqs, dkv);
}

}  // namespace

// The pages that the batch's sequences read, once each, and how far they are filled.
void ExpandedPages::list(const Batch& batch, Ops& ops) {
  pages.clear(), compact.clear(), tables.clear();
  host_seqs.clear(), host_latent_slots.clear(), host_slots.clear();
  std::unordered_map<int32_t, int32_t> number;
  std::vector<int64_t> filled;
  for (const Sequence& s : batch.seqs) {
    std::vector<int32_t>& table = tables.emplace_back();
    const int64_t positions = s.position + s.count;
    for (int64_t i = 0; i < pages_for(positions); ++i) {
      const auto [it, fresh] = number.try_emplace(s.pages[i], static_cast<int32_t>(number.size()));
      if (fresh) {
        pages.push_back(s.pages[i]);
        compact.push_back(it->second);
        filled.push_back(0);
      }
      table.push_back(it->second);
      int64_t& slots_of_it = filled[static_cast<size_t>(it->second)];
      slots_of_it = std::max(slots_of_it, std::min<int64_t>(kPageSize, positions - i * kPageSize));
    }
  }
  for (size_t i = 0; i < batch.seqs.size(); ++i) {
    host_seqs.push_back(batch.seqs[i]);
    host_seqs.back().pages = tables[i].data();
  }
  rows = 0;
  for (size_t i = 0; i < filled.size(); ++i) {
    host_latent_slots.push_back({rows, filled[i], 0, &pages[i], 0});
    host_slots.push_back({rows, filled[i], 0, &compact[i], 0});
    rows += filled[i];
  }
  const auto begin = [&](const std::vector<Sequence>& host, DeviceBatch& on) {
    BatchArrays arrays;
    arrays.seqs = host;
    ops.begin(arrays, on);
  };
  begin(host_seqs, seqs);
  begin(host_latent_slots, latent_slots);
  begin(host_slots, slots);
}

Mla::Saved forward(Pass& p, int64_t layer, const Mla& w, ConstTensor x, Tensor out) {
  const Widths n(p.config());
  const KvLayer kv = p.kv.layer(layer);
  const bool compressed = !w.q_norm.empty();
  Mla::Saved s;
  s.qkv_a_TN = p.keep(n.q + n.L + n.R);
  s.latent_TN = p.keep(n.L + n.R);
  s.att_TN = p.keep(n.heads * n.V);
  s.kv_rstd = p.keep_floats(p.rows());
  s.lse = p.keep_floats(p.rows() * n.heads);

  p.product(x, w.qkv_a, s.qkv_a_TN);
  const Tensor q_a = s.qkv_a_TN.slice_cols(0, n.q), kv_a = from(s.qkv_a_TN, n.q);
  s.q_TN = q_a;
  if (compressed) {
    s.q_norm_TQ = p.keep(n.q);
    s.q_TN = p.keep(n.heads * n.D());
    s.q_rstd = p.keep_floats(p.rows());
    p.ops.rms_norm(q_a, w.q_norm, 1, kLatentEps, s.q_norm_TQ, s.q_rstd);
    p.product(s.q_norm_TQ, w.q_b, s.q_TN);
  }
  p.ops.rope(s.q_TN, n.D(), true, p.batch.positions, p.cos_sin);

  p.ops.rms_norm(kv_a.slice_cols(0, n.L), w.kv_norm, 1, kLatentEps, s.latent_TN.slice_cols(0, n.L),
                 s.kv_rstd);
  p.ops.copy_heads(from(kv_a, n.L), 0, from(s.latent_TN, n.L), 0, 1, n.R, false);
  p.ops.rope(s.latent_TN, n.L + n.R, true, p.batch.positions, p.cos_sin);
  p.ops.kv_append(s.latent_TN, {}, p.batch.seqs, kv);
  p.ops.kv_copy(p.batch.copies, kv);

  if (p.config().mla_expanded) {
    attend_expanded(p, w, kv, n, s);
  } else {
    attend_absorbed(p, w, kv, n, s);
  }
  p.product(s.att_TN, w.out, out);
  return s;
}

void backward(Pass& p, int64_t layer, const Mla& w, ConstTensor x, const Mla::Saved& s,
              ConstTensor dout, Gradients& g, Tensor dx) {
  const Widths n(p.config());
  const KvLayer kv = p.kv.layer(layer), dkv = p.zero_pages(kv, p.pages);
  const bool compressed = !w.q_norm.empty();
  const Tensor datt = p.temporary(n.heads * n.V), dqkv_a = p.temporary(s.qkv_a_TN.cols);
  const Tensor dlatent = p.temporary(n.L + n.R);
  const Tensor dq_a = dqkv_a.slice_cols(0, n.q), dkv_a = from(dqkv_a, n.q);
  const Tensor dq = compressed ? p.temporary(n.heads * n.D()) : dq_a;

  p.product_backward(dout, s.att_TN, w.out, g, datt);
  if (p.config().mla_expanded) {
    attend_expanded_backward(p, w, n, s, datt, g, dq, dkv);
  } else {
    attend_absorbed_backward(p, w, kv, n, s, datt, g, dq, dkv);
  }

  p.ops.kv_copy_backward(p.batch.copies, dkv);
  p.ops.kv_append_backward(dkv, p.batch.seqs, dlatent, {});
  p.ops.rope_backward(dlatent, n.L + n.R, true, p.batch.positions, p.cos_sin);
  p.ops.copy_heads(from(dlatent, n.L), 0, from(dkv_a, n.L), 0, 1, n.R, false);
  p.ops.rms_norm_backward(dlatent.slice_cols(0, n.L), from(s.qkv_a_TN, n.q).slice_cols(0, n.L),
                          w.kv_norm, 1, s.kv_rstd, false, dkv_a.slice_cols(0, n.L),
                          g.of(w.kv_norm));

  p.ops.rope_backward(dq, n.D(), true, p.batch.positions, p.cos_sin);
  if (compressed) {
    const Tensor dq_norm = p.temporary(n.q);
    p.product_backward(dq, s.q_norm_TQ, w.q_b, g, dq_norm);
    p.ops.rms_norm_backward(dq_norm, s.qkv_a_TN.slice_cols(0, n.q), w.q_norm, 1, s.q_rstd, false,
                            dq_a, g.of(w.q_norm));
  }
  p.product_backward(dqkv_a, x, w.qkv_a, g, dx);
}

}  // namespace r1
