// Products and lookups with weights that stay in their file.
#include <algorithm>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_ops.h"
#include "tensor/quant.h"

namespace r1::cpu {
namespace {

Format format_of(DType dtype, bool repacked = false) {
  switch (dtype) {
    case DType::kF32:
      return repacked ? Format::kPackedF32 : Format::kF32;
    case DType::kBF16:
      return repacked ? Format::kPackedBf16 : Format::kBf16;
    case DType::kF16:
      return Format::kF16;
    case DType::kF8E4M3:
      return Format::kF8;
    case DType::kQ8_0:
      return Format::kQ8_0;
    case DType::kQ4_0:
      return Format::kQ4_0;
    case DType::kQ4_1:
      return Format::kQ4_1;
    case DType::kQ5_0:
      return Format::kQ5_0;
    case DType::kQ5_1:
      return Format::kQ5_1;
    case DType::kQ4_K:
      return Format::kQ4_K;
    case DType::kQ5_K:
      return Format::kQ5_K;
    case DType::kQ6_K:
      return Format::kQ6_K;
    default:
      R1_CHECK(!"a type without products");
  }
  return Format::kF32;
}

// Elements that share a scale in a block format; 0 for plain types.
int64_t group_of(DType dtype) {
  if (dtype_block(dtype) == 1) return 0;
  return dtype == DType::kQ6_K ? 16 : 32;
}

// A product's input in the forms that its parts read, in one piece of memory.
struct Inputs {
  float* bf16 = nullptr;                           // what group_rows writes; null where not read
  float* floats = nullptr;                         // likewise
  std::vector<std::pair<Format, ByteRows>> bytes;  // one a block format

  const ByteRows* find(Format format) const {
    for (const auto& [f, rows] : bytes) {
      if (f == format) return &rows;
    }
    return nullptr;
  }
};

// Hands out pieces of `memory`; of none, only counts what they take.
struct Pieces {
  std::byte* memory = nullptr;
  int64_t taken = 0;

  template <class T>
  T* take(int64_t count) {
    const int64_t at =
        std::exchange(taken, taken + (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64);
    return memory ? reinterpret_cast<T*>(memory + at) : nullptr;
  }
};

// Whether a float32 product reads its rows in groups.
bool reads_groups(const MappedWeight& w, int64_t rows) {
  return w.dtype == DType::kF32 && w.repacked && rows > 1;
}

// The inputs that the parts need.
Inputs lay_out(int64_t rows, int64_t k, std::span<const MappedWeight> parts, Pieces& pieces) {
  Inputs in;
  bool bf16 = false, floats = false;
  for (const MappedWeight& w : parts) {
    bf16 = bf16 || w.dtype == DType::kBF16;
    floats = floats || reads_groups(w, rows);
    const int64_t group = group_of(w.dtype);
    if (group == 0 || in.find(format_of(w.dtype))) continue;
    const ByteRows b{.q = pieces.take<int8_t>(rows * k),
                     .scale = pieces.take<float>(rows * k / 32),
                     .scaled_sum = pieces.take<float>(rows * k / 32),
                     .start = pieces.take<int32_t>(rows * k / group),
                     .rows = rows,
                     .k = k,
                     .group = group};
    in.bytes.emplace_back(format_of(w.dtype), b);
  }
  if (floats) in.floats = pieces.take<float>(rows * k);
  if (bf16) in.bf16 = pieces.take<float>(rows * ((k + 1) / 2 * 2));
  return in;
}

// The product of one part, whose columns of the output begin at `column`.
Matmul product_of(ConstTensor x, const Inputs& in, const MappedWeight& w, const float* bias,
                  bool add, Tensor out, int64_t column) {
  R1_CHECK(x.cols == w.k && w.k % dtype_block(w.dtype) == 0);
  R1_CHECK(w.dtype != DType::kF8E4M3 || w.scales);
  const ByteRows* bytes = in.find(format_of(w.dtype));
  const bool bf16 = w.dtype == DType::kBF16, grouped = reads_groups(w, x.rows);
  return {.format = format_of(w.dtype, w.repacked),
          .x = bf16      ? in.bf16
               : grouped ? in.floats
                         : x.data,
          .xs = x.stride,
          .grouped = grouped || bf16,
          .rows = x.rows,
          .bytes = bytes ? *bytes : ByteRows{},
          .w = reinterpret_cast<const uint8_t*>(w.data),
          .row_bytes = w.row_bytes(),
          .repacked = w.repacked,
          .scales = w.scales,
          .n = w.n,
          .k = w.k,
          .bias = bias ? bias + column : nullptr,
          .add = add,
          .out = out.data + column,
          .os = out.stride};
}

}  // namespace

// The parts' products, of whose output each has its columns.
std::vector<CpuOps::ProductPlan> CpuOps::plan_mapped(ConstTensor x,
                                                     std::span<const MappedWeight> parts,
                                                     const float* bias, bool add, Tensor out) {
  Pieces counted;
  lay_out(x.rows, x.cols, parts, counted);
  Pieces pieces{reinterpret_cast<std::byte*>(scratch(counted.taken / 4))};
  const Inputs in = lay_out(x.rows, x.cols, parts, pieces);
  const int64_t rows = pieces.taken > 0 ? x.rows : 0;
  split(rows, 1 + (1 << 13) / (1 + x.cols), kernels_.row_group, [&](int64_t begin, int64_t end) {
    const auto group = [&](bool bf16, float* to) {
      if (to) kernels_.group_rows(bf16, x.data, x.stride, x.rows, x.cols, to, begin, end);
    };
    group(true, in.bf16);
    group(false, in.floats);
    for (const auto& [format, rounded] : in.bytes) {
      kernels_.byte_rows(format, x.data, x.stride, rounded, begin, end);
    }
  });

  std::vector<ProductPlan> plans;
  int64_t column = 0;
  for (const MappedWeight& w : parts) {
    plans.push_back({product_of(x, in, w, bias, add, out, column), &kernels_});
    column += w.n;
  }
  return plans;
}

void CpuOps::matmul_mapped(ConstTensor x, std::span<const MappedWeight> parts, const float* bias,
                           bool add, Tensor out) {
  int64_t columns = 0;
  for (const MappedWeight& w : parts) columns += w.n;
  R1_CHECK(out.rows == x.rows && out.cols == columns);
  std::vector<ProductPlan> plans = plan_mapped(x, parts, bias, add, out);
  run_products(plans);
}

void CpuOps::matmul_mapped_swiglu(ConstTensor x, std::span<const MappedWeight> parts,
                                  Tensor gate_up, Tensor out) {
  if (parts.size() != 2 || x.rows < kFuseRows) {
    return Ops::matmul_mapped_swiglu(x, parts, gate_up, out);
  }
  R1_CHECK(parts[0].n == out.cols && parts[1].n == out.cols && out.rows == x.rows);
  std::vector<ProductPlan> plans = plan_mapped(x, parts, nullptr, false, gate_up);
  plans[0].fuse_swiglu(plans[1].m, gate_up, out);
  plans.pop_back();
  run_products(plans);
}

int64_t CpuOps::repacked_bytes(const MappedWeight& w) const {
  const bool plain = w.dtype == DType::kF32 || w.dtype == DType::kBF16;
  const bool pieces = plain ? w.row_bytes() % 16 == 0 : dtype_block(w.dtype) > 1;
  const int64_t unit = plain ? 1 : kernels_.byte_panels;
  const int64_t panels = (panels_of(w.n) + unit - 1) / unit * unit;
  return pieces ? panels * kLanes * w.row_bytes() : 0;
}

MappedWeight CpuOps::repack(const MappedWeight& w, std::byte* out) {
  R1_CHECK(!w.repacked && repacked_bytes(w) > 0);
  Matmul m{};
  m.format = format_of(w.dtype);
  m.w = reinterpret_cast<const uint8_t*>(w.data);
  m.row_bytes = w.row_bytes();
  m.n = w.n;
  m.k = w.k;
  split(panels_of(w.n), 1 + (1 << 18) / (kLanes * w.row_bytes()), kernels_.byte_panels,
        [&](int64_t begin, int64_t end) {
          kernels_.repack(m, reinterpret_cast<uint8_t*>(out), begin, end);
        });
  MappedWeight repacked = w;
  repacked.data = out;
  repacked.repacked = true;
  return repacked;
}

void CpuOps::embed_mapped(std::span<const int32_t> ids, const MappedWeight& table, Tensor out) {
  R1_CHECK(out.rows == static_cast<int64_t>(ids.size()) && out.cols == table.k && !table.repacked);
  split(out.rows, 1 + (1 << 14) / (1 + out.cols), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int32_t id = ids[static_cast<size_t>(t)];
      dequantize_row(table, id, out.row(t));
    }
  });
}

}  // namespace r1::cpu
