#include "model/decoder.h"

#include <algorithm>

#include "model/pass.h"

namespace r1 {
namespace {

// out = block(x). `part` is the pass of each of its parts.
Saved block_forward(Pass& p, Pass& part, int64_t layer, Tensor x, Tensor out) {
  const Block& b = p.model.blocks()[static_cast<size_t>(layer)];
  const int64_t width = p.config().hidden_size;
  Saved s;
  s.x_TC = x;
  s.norm_TC = p.keep(width);
  s.mid_TC = p.keep(width);
  s.norm2_TC = p.keep(width);
  s.rstd = p.keep_floats(p.rows());
  s.rstd2 = p.keep_floats(p.rows());

  p.ops.rms_norm(x, b.attention_norm, 1, p.eps(), s.norm_TC, s.rstd);
  part.scratch->reset();
  std::visit([&](const auto& w) { s.attention = forward(part, layer, w, s.norm_TC, s.mid_TC); },
             b.attention);
  p.ops.add(s.mid_TC, x);

  p.ops.rms_norm(s.mid_TC, b.mlp_norm, 1, p.eps(), s.norm2_TC, s.rstd2);
  part.scratch->reset();
  std::visit([&](const auto& w) { s.mlp = forward(part, layer, w, s.norm2_TC, out); }, b.mlp);
  p.ops.add(out, s.mid_TC);
  return s;
}

// The saved state that belongs to the weights `w`.
template <class W, class Variant>
const typename W::Saved& saved_of(const W&, const Variant& saved) {
  return std::get<typename W::Saved>(saved);
}

// dx is the gradient of the block's output, and becomes that of its input.
void block_backward(Pass& p, Pass& part, int64_t layer, const Saved& s, Tensor dx, Gradients& g) {
  const Block& b = p.model.blocks()[static_cast<size_t>(layer)];
  const Tensor dnorm = p.temporary(p.config().hidden_size);

  part.scratch->reset();
  std::visit(
      [&](const auto& w) {
        backward(part, layer, w, s.norm2_TC, saved_of(w, s.mlp), dx, g, dnorm);
      },
      b.mlp);
  p.ops.rms_norm_backward(dnorm, s.mid_TC, b.mlp_norm, 1, s.rstd2, true, dx, g.of(b.mlp_norm));

  part.scratch->reset();
  std::visit(
      [&](const auto& w) {
        backward(part, layer, w, s.norm_TC, saved_of(w, s.attention), dx, g, dnorm);
      },
      b.attention);
  p.ops.rms_norm_backward(dnorm, s.x_TC, b.attention_norm, 1, s.rstd, true, dx,
                          g.of(b.attention_norm));
}

// The table's rows up to the batch's last position.
ConstTensor cos_sin_of(const Model& model, const Batch& batch, Ops& ops) {
  int32_t last = -1;
  for (const int32_t position : batch.positions) last = std::max(last, position);
  return model.cos_sin(last + 1, ops);
}

// One more than the highest number of a page that the batch refers to.
int64_t pages_of(const Batch& batch) {
  int64_t pages = 0;
  for (const Sequence& s : batch.seqs) {
    for (int64_t i = 0; i < pages_for(s.position + s.count); ++i) {
      pages = std::max<int64_t>(pages, s.pages[i] + 1);
    }
  }
  return pages;
}

}  // namespace

KvLayer Pass::zero_pages(const KvLayer& shape, int64_t count) {
  KvLayer gradients = shape;
  gradients.type = KvType::kF32;
  const int64_t bytes = count * gradients.page_bytes();
  float* const memory = scratch->floats(bytes / static_cast<int64_t>(sizeof(float)));
  ops.zero(memory, static_cast<size_t>(bytes));
  return kv_layer_at(gradients, memory, count);
}

void forward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
             Tensor hidden) {
  using Keep = Activations::Keep;
  const int64_t c = model.config().hidden_size, rows = batch.rows();
  memory.kept_.reset();
  memory.blocks_.clear();
  ops.begin(batch.arrays(), memory.batch_);
  if (model.config().mla_expanded) memory.expanded_.list(batch, ops);
  const ConstTensor cos_sin = cos_sin_of(model, batch, ops);
  Arena* const kept = memory.keep_ == Keep::kAll ? &memory.kept_ : &memory.scratch_;
  Arena* const part_kept = memory.keep_ == Keep::kNothing ? &memory.part_ : kept;
  const auto pass = [&](Arena* keeps, Arena* scratch) {
    return Pass{model, memory.batch_, 0, memory.expanded_, kv, ops, keeps, scratch, cos_sin};
  };
  Pass p = pass(kept, &memory.scratch_), part = pass(part_kept, &memory.part_);

  // Without a backward two buffers take turns as input and output.
  Tensor x = Pass::tensor(memory.kept_, rows, c), spare = Pass::tensor(memory.kept_, rows, c);
  model.embed(ops, memory.batch_.tokens, x);
  for (int64_t layer = 0; layer < model.config().num_hidden_layers; ++layer) {
    memory.scratch_.reset();
    memory.blocks_.push_back(block_forward(p, part, layer, x, spare));
    std::swap(x, spare);
    if (memory.keep_ != Keep::kNothing) spare = Pass::tensor(memory.kept_, rows, c);
  }
  memory.last_TC_ = x;
  memory.last_rstd_ = memory.kept_.floats(rows);
  memory.final_TC_ = spare;
  ops.rms_norm(x, model.final_norm(), 1, p.eps(), memory.final_TC_, memory.last_rstd_);
  ops.gather_rows(memory.final_TC_, memory.batch_.outputs, hidden);
}

void backward(const Model& model, const Batch& batch, KvCache& kv, Ops& ops, Activations& memory,
              ConstTensor dhidden, Gradients& gradients, ExpertLoads* loads) {
  using Keep = Activations::Keep;
  R1_CHECK(memory.keep_ != Keep::kNothing && model.use() == Model::Use::kTraining);
  const DeviceBatch& on = memory.batch_;
  const auto pass = [&, pages = pages_of(batch),
                     cos_sin = cos_sin_of(model, batch, ops)](Arena* own) {
    return Pass{model, on, pages, memory.expanded_, kv, ops, &memory.scratch_, own, cos_sin, loads};
  };
  Pass p = pass(&memory.scratch_), part = pass(&memory.part_);

  const Tensor dx = Pass::tensor(memory.kept_, batch.rows(), model.config().hidden_size);
  ops.zero(dx.data, static_cast<size_t>(dx.rows * dx.cols) * sizeof(float));
  ops.gather_rows_backward(dhidden, on.outputs, dx);
  ops.rms_norm_backward(dx, memory.last_TC_, model.final_norm(), 1, memory.last_rstd_, false, dx,
                        gradients.of(model.final_norm()));
  for (int64_t layer = model.config().num_hidden_layers; layer-- > 0;) {
    Saved& s = memory.blocks_[static_cast<size_t>(layer)];
    memory.scratch_.reset();
    // The same operations on the same input: the same bits, in the activations and in kv.
    if (memory.keep_ == Keep::kBlockInputs) {
      s = block_forward(p, part, layer, s.x_TC, p.temporary(dx.cols));
    }
    block_backward(p, part, layer, s, dx, gradients);
  }
  const Tensor table = {const_cast<float*>(model.embedding().data), model.embedding().rows,
                        model.embedding().cols};
  ops.embed_backward(on.tokens, dx, gradients.of(table));
}

}  // namespace r1
