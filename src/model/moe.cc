#include "model/moe.h"

namespace r1 {
namespace {

Routing routing_of(const ModelConfig& c) {
  return {.sigmoid = c.sigmoid_routing(),
          .experts = c.num_experts_per_tok,
          .groups = c.n_group,
          .groups_per_row = c.topk_group,
          .group_pairs = c.sigmoid_routing(),
          .normalize = c.norm_topk_prob,
          .scale = static_cast<float>(c.routed_scaling_factor)};
}

// out = x times each expert's `linear`, packed or transposed, or where it lies in the files.
void products(Pass& p, const Moe& w, const Moe::Saved& s, Linear Swiglu::*linear,
              PackedWeight Linear::*form, ConstTensor x, Tensor out) {
  if ((w.experts.front().*linear).mapped.empty()) {
    std::vector<PackedWeight> weights;
    for (const Swiglu& e : w.experts) weights.push_back(e.*linear.*form);
    p.ops.matmul_experts(x, weights, s.first, out);
  } else {
    std::vector<std::span<const MappedWeight>> weights;
    for (const Swiglu& e : w.experts) weights.emplace_back((e.*linear).mapped);
    p.ops.matmul_mapped_experts(x, weights, s.first, out);
  }
}

// The gradients of each expert's `linear` and of its input.
void products_backward(Pass& p, const Moe& w, const Moe::Saved& s, Linear Swiglu::*linear,
                       ConstTensor dout, ConstTensor x, Gradients& g, Tensor dx) {
  std::vector<Tensor> dw;
  for (const Swiglu& e : w.experts) dw.push_back(g.of((e.*linear).master));
  const DType dtype = (w.experts.front().*linear).packed.dtype;
  p.ops.matmul_experts_backward_weight(dout, x, dtype, s.first, dw);
  products(p, w, s, linear, &Linear::transposed, dout, dx);
}

}  // namespace

Moe::Saved forward(Pass& p, int64_t layer, const Moe& w, ConstTensor x, Tensor out) {
  const ModelConfig& c = p.config();
  const int64_t k = c.num_experts_per_tok, copies = p.rows() * k, width = c.moe_intermediate_size;
  Moe::Saved s;
  s.logits_TE = p.keep(c.routed_experts);
  s.weight = p.keep_floats(copies);
  for (std::span<int32_t>* list : {&s.expert, &s.slot, &s.row}) {
    *list = {p.kept->ints(copies), static_cast<size_t>(copies)};
  }
  s.first = p.kept->ints(c.routed_experts + 1);
  s.x_RC = Pass::tensor(*p.kept, copies, x.cols);
  s.gate_up_RF = Pass::tensor(*p.kept, copies, 2 * width);
  s.act_RF = Pass::tensor(*p.kept, copies, width);
  s.y_RC = Pass::tensor(*p.kept, copies, x.cols);

  p.product(x, w.router, s.logits_TE);
  const float* bias = w.correction_bias.empty() ? nullptr : w.correction_bias.data();
  p.ops.route(s.logits_TE, bias, routing_of(c), s.expert.data(), s.weight);
  p.ops.sort_by_expert(s.expert, k, c.routed_experts, s.slot.data(), s.row.data(), s.first);

  p.ops.gather_rows(x, s.row, s.x_RC);
  products(p, w, s, &Swiglu::gate_up, &Linear::packed, s.x_RC, s.gate_up_RF);
  p.ops.swiglu(s.gate_up_RF, s.act_RF);
  products(p, w, s, &Swiglu::down, &Linear::packed, s.act_RF, s.y_RC);

  for (const Swiglu& shared : w.shared) s.shared = forward(p, layer, shared, x, out);
  p.ops.combine_rows(s.y_RC, s.slot, s.weight, !w.shared.empty(), out);
  return s;
}

void backward(Pass& p, int64_t layer, const Moe& w, ConstTensor x, const Moe::Saved& s,
              ConstTensor dout, Gradients& g, Tensor dx) {
  const Tensor dy = Pass::tensor(*p.scratch, s.y_RC.rows, s.y_RC.cols);
  const Tensor dact = Pass::tensor(*p.scratch, s.act_RF.rows, s.act_RF.cols);
  const Tensor dgate_up = Pass::tensor(*p.scratch, s.gate_up_RF.rows, s.gate_up_RF.cols);
  const Tensor dcopies = dy;  // dy is read before it is written
  const Tensor dlogits = p.temporary(s.logits_TE.cols);
  float* const dweight = p.scratch->floats(s.y_RC.rows);

  p.ops.combine_rows_backward(dout, s.y_RC, s.slot, s.weight, dy, dweight);
  products_backward(p, w, s, &Swiglu::down, dy, s.act_RF, g, dact);
  p.ops.swiglu_backward(dact, s.gate_up_RF, dgate_up);
  products_backward(p, w, s, &Swiglu::gate_up, dgate_up, s.x_RC, g, dcopies);

  p.ops.route_backward(dweight, s.logits_TE, s.expert.data(), routing_of(p.config()), dlogits);
  p.product_backward(dlogits, x, w.router, g, dx);
  p.ops.gather_rows_backward(dcopies, s.row, dx);
  for (const Swiglu& shared : w.shared) {
    const Tensor dshared = p.temporary(x.cols);
    backward(p, layer, shared, x, s.shared, dout, g, dshared);
    p.ops.add(dx, dshared);
  }
  if (p.loads) p.ops.count_copies(s.first, p.loads->layer(layer));
}

}  // namespace r1
