#include "recipe/tensor_copy.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/json.h"
#include "tensor/quant.h"

namespace r1 {
namespace {

constexpr int64_t kPieceElements = int64_t{1} << 22;
constexpr size_t kPieceBytes = size_t{16} << 20;
constexpr int64_t kScaleBlock = 128;

[[noreturn]] void fail(const TensorSource& source, const std::string& name,
                       const std::string& what) {
  throw InputError(source.where() + ": tensor " + in_quotes(name) + ": " + what);
}

const TensorInfo& require(const TensorSource& source, const std::string& name) {
  const TensorInfo* tensor = source.find(name);
  if (!tensor) fail(source, name, "is missing");
  return *tensor;
}

// One part, as rows of `cols` elements.
class RowCopier {
 public:
  RowCopier(const TensorSource& source, const TensorInfo& in, const TensorPlan& plan)
      : in_(in),
        scales_(block_scales(source, in)),
        out_(plan.out.dtype),
        pairs_(plan.layout == GgufLayout::kPairs),
        head_dim_(plan.head_dim) {
    const bool matrix = in.shape.size() >= 2;
    cols_ = matrix ? in.shape.back() : pairs_ ? 1 : in.elements();
    rows_ = cols_ == 0 ? 0 : in.elements() / cols_;
    if (in.dtype != out_ && !(can_dequantize(in.dtype) && can_quantize(out_))) {
      fail(source, in.name,
           "cannot become " + std::string(dtype_name(out_)) + ": it is " +
               std::string(dtype_name(in.dtype)));
    }
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  size_t out_row_bytes() const { return dtype_bytes(out_, cols_); }
  // Whether the bytes are the same in the same order.
  bool verbatim() const { return in_.dtype == out_ && !scales_ && !pairs_; }

  // Row `row` of what is written; `floats` has room for it.
  void copy(int64_t row, float* floats, std::byte* out) const {
    const int64_t from = pairs_ ? row_in_hugging_face(row) : row;
    const size_t size = dtype_bytes(in_.dtype, cols_);
    const std::byte* bytes = in_.bytes.data() + static_cast<size_t>(from) * size;
    if (in_.dtype == out_ && !scales_) {
      std::memcpy(out, bytes, size);
      return;
    }
    dequantize(in_.dtype, bytes, cols_, floats);
    if (scales_) scale(from, floats);
    quantize(out_, floats, cols_, out);
  }

 private:
  // The inverse of gguf_row_of_pair.
  int64_t row_in_hugging_face(int64_t row) const {
    const int64_t head = row / head_dim_, in_head = row % head_dim_;
    return head * head_dim_ + (in_head % 2) * (head_dim_ / 2) + in_head / 2;
  }

  void scale(int64_t row, float* floats) const {
    const int64_t blocks = scales_->shape[1];
    const std::byte* scales =
        scales_->bytes.data() + static_cast<size_t>(row / kScaleBlock * blocks) * sizeof(float);
    for (int64_t c = 0; c < cols_; ++c) {
      float value;
      std::memcpy(&value, scales + static_cast<size_t>(c / kScaleBlock) * sizeof value,
                  sizeof value);
      floats[c] *= value;
    }
  }

  const TensorInfo& in_;
  const TensorInfo* scales_;
  DType out_;
  bool pairs_;
  int64_t head_dim_, rows_ = 0, cols_ = 0;
};

void copy_part(const RowCopier& rows, const TensorInfo& in, ThreadPool& pool,
               const std::function<void(std::span<const std::byte>)>& sink) {
  if (rows.verbatim()) {
    for (auto bytes = in.bytes; !bytes.empty();) {
      const size_t size = std::min(bytes.size(), kPieceBytes);
      sink(bytes.first(size));
      bytes = bytes.subspan(size);
    }
    return;
  }
  if (rows.rows() == 0) return;
  const int64_t step = std::clamp<int64_t>(kPieceElements / rows.cols(), 1, rows.rows());
  const size_t size = rows.out_row_bytes();
  Buffer floats = Buffer::of_floats(step * rows.cols());
  Buffer bytes(static_cast<size_t>(step) * size);
  for (int64_t begin = 0; begin < rows.rows(); begin += step) {
    const int64_t count = std::min(step, rows.rows() - begin);
    pool.run(count, [&](int64_t i) {
      rows.copy(begin + i, floats.floats() + i * rows.cols(),
                bytes.data() + static_cast<size_t>(i) * size);
    });
    sink({bytes.data(), static_cast<size_t>(count) * size});
  }
}

}  // namespace

const TensorInfo* block_scales(const TensorSource& source, const TensorInfo& tensor) {
  if (tensor.dtype != DType::kF8E4M3) return nullptr;
  const TensorInfo* scales = source.find(tensor.name + "_scale_inv");
  if (!scales) return nullptr;
  const auto blocks = [](int64_t size) { return (size + kScaleBlock - 1) / kScaleBlock; };
  if (tensor.shape.size() != 2 || scales->dtype != DType::kF32 ||
      scales->shape != std::vector{blocks(tensor.shape[0]), blocks(tensor.shape[1])}) {
    fail(source, scales->name,
         "expected one F32 scale for each 128 x 128 of " + shape_text(tensor.shape) + ", found " +
             std::string(dtype_name(scales->dtype)) + " " + shape_text(scales->shape));
  }
  return scales;
}

void copy_tensor(const TensorSource& source, const TensorPlan& plan, ThreadPool& pool,
                 const std::function<void(std::span<const std::byte>)>& sink) {
  if (!plan.values.empty()) return sink(std::as_bytes(std::span(plan.values)));
  for (const std::string& name : plan.parts) {
    const TensorInfo& in = require(source, name);
    copy_part(RowCopier(source, in, plan), in, pool, sink);
  }
}

}  // namespace r1
