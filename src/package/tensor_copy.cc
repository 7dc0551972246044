#include "package/tensor_copy.h"

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

// One part, as rows of `cols` elements of what is written.
class RowCopier {
 public:
  RowCopier(const TensorSource& source, const TensorInfo& in, const TensorPlan& plan)
      : in_(in), scales_(block_scales(source, in)), out_(plan.out.dtype), name_(plan.name) {
    const bool matrix = in.shape.size() >= 2;
    in_cols_ = matrix ? in.shape.back() : name_.layout == GgufLayout::kPairs ? 1 : in.elements();
    cols_ = name_.layout == GgufLayout::kKeyUp ? name_.head_dim : in_cols_;
    int64_t elements = in.elements();
    if (name_.layout == GgufLayout::kKeyUp || name_.layout == GgufLayout::kValueUp) {
      elements = product(plan.out.shape);
    }
    rows_ = cols_ == 0 ? 0 : elements / cols_;
    if ((in.dtype != out_ || name_.layout == GgufLayout::kKeyUp) &&
        !(can_dequantize(in.dtype) && can_quantize(out_))) {
      fail(source, in.name,
           "cannot become " + std::string(dtype_name(out_)) + ": it is " +
               std::string(dtype_name(in.dtype)));
    }
    if (name_.layout == GgufLayout::kKeyUp) read_whole();
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  size_t out_row_bytes() const { return dtype_bytes(out_, cols_); }
  // Whether the bytes are the same in the same order.
  bool verbatim() const {
    const bool ordered = name_.layout == GgufLayout::kAsIs || name_.layout == GgufLayout::kExperts;
    return in_.dtype == out_ && !scales_ && ordered;
  }

  // Row `row` of what is written; `floats` has room for it.
  void copy(int64_t row, float* floats, std::byte* out) const {
    if (name_.layout == GgufLayout::kKeyUp) {
      key_column(row, floats);
      return quantize(out_, floats, cols_, out);
    }
    const int64_t from = source_row(row);
    if (in_.dtype == out_ && !scales_) {
      const size_t size = dtype_bytes(in_.dtype, in_cols_);
      std::memcpy(out, in_.bytes.data() + static_cast<size_t>(from) * size, size);
      return;
    }
    read_row(from, floats);
    quantize(out_, floats, cols_, out);
  }

 private:
  static int64_t product(const std::vector<int64_t>& shape) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    return count;
  }

  int64_t source_row(int64_t row) const {
    if (name_.layout == GgufLayout::kPairs) {  // the inverse of gguf_row_of_pair
      const int64_t head = row / name_.head_dim, in_head = row % name_.head_dim;
      return head * name_.head_dim + (in_head % 2) * (name_.head_dim / 2) + in_head / 2;
    }
    if (name_.layout == GgufLayout::kValueUp) {
      const int64_t head = row / name_.value_dim;
      return head * head_rows() + name_.head_dim + row % name_.value_dim;
    }
    return row;
  }
  int64_t head_rows() const { return name_.head_dim + name_.value_dim; }

  void read_row(int64_t row, float* floats) const {
    const size_t size = dtype_bytes(in_.dtype, in_cols_);
    dequantize(in_.dtype, in_.bytes.data() + static_cast<size_t>(row) * size, in_cols_, floats);
    if (scales_) scale(row, floats);
  }

  // Transposing reads every row for each that is written: once, then.
  void read_whole() {
    whole_ = Buffer::of_floats(in_.elements());
    for (int64_t r = 0; r < in_.shape[0]; ++r) read_row(r, whole_.floats() + r * in_cols_);
  }

  // Row (head, j): element j of each of the head's key rows.
  void key_column(int64_t row, float* floats) const {
    const int64_t head = row / in_cols_, j = row % in_cols_;
    for (int64_t k = 0; k < cols_; ++k) {
      floats[k] = whole_.floats()[(head * head_rows() + k) * in_cols_ + j];
    }
  }

  void scale(int64_t row, float* floats) const {
    const int64_t blocks = scales_->shape[1];
    const std::byte* scales =
        scales_->bytes.data() + static_cast<size_t>(row / kScaleBlock * blocks) * sizeof(float);
    for (int64_t c = 0; c < in_cols_; ++c) {
      float value;
      std::memcpy(&value, scales + static_cast<size_t>(c / kScaleBlock) * sizeof value,
                  sizeof value);
      floats[c] *= value;
    }
  }

  const TensorInfo& in_;
  const TensorInfo* scales_;
  DType out_;
  const GgufName& name_;
  int64_t in_cols_ = 0, rows_ = 0, cols_ = 0;
  Buffer whole_;  // of kKeyUp, in float32
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
    const RowCopier rows(source, in, plan);
    copy_part(rows, in, pool, sink);
  }
}

}  // namespace r1
