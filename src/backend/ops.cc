#include "backend/ops.h"

#include <cstring>

namespace r1 {
namespace {

// gate_up, or a matrix for it in `memory`.
Tensor kept_or_own(Ops& ops, Tensor gate_up, ConstTensor x, Tensor out, Buffer& memory) {
  if (gate_up.data) return gate_up;
  memory = Buffer::of_floats(x.rows * 2 * out.cols, ops.memory());
  return {memory.floats(), x.rows, 2 * out.cols};
}

}  // namespace

void Ops::zero(void* to, size_t bytes) {
  if (bytes > 0) std::memset(to, 0, bytes);
}

void Ops::copy(const void* from, void* to, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Ops::upload(const void* host, void* to, size_t bytes) {
  Ops::copy(host, to, bytes);
}

void Ops::download(const void* from, void* host, size_t bytes) {
  Ops::copy(from, host, bytes);
}

void Ops::begin(const BatchArrays& host, DeviceBatch& batch) {
  batch.tokens = host.tokens;
  batch.positions = host.positions;
  batch.outputs = host.outputs;
  batch.seqs = Sequences(host.seqs.data(), host.seqs.size());
  batch.copies = host.copies;
}

const std::byte* Ops::adopt(std::span<const std::byte> file, Buffer&) {
  return file.data();
}

const std::byte* Ops::view(const void* from, size_t, std::vector<std::byte>&) {
  return static_cast<const std::byte*>(from);
}

void Ops::matmul_swiglu(ConstTensor x, const PackedWeight& w, Tensor gate_up, Tensor out) {
  Buffer memory;
  gate_up = kept_or_own(*this, gate_up, x, out, memory);
  matmul(x, w, nullptr, false, gate_up);
  swiglu(gate_up, out);
}

void Ops::matmul_mapped_swiglu(ConstTensor x, std::span<const MappedWeight> parts, Tensor gate_up,
                               Tensor out) {
  Buffer memory;
  gate_up = kept_or_own(*this, gate_up, x, out, memory);
  matmul_mapped(x, parts, nullptr, false, gate_up);
  swiglu(gate_up, out);
}

}  // namespace r1
