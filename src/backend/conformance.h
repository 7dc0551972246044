// For tests only: what every backend is put through. A Case is one op with one set of shapes and
// inputs; conformance_test.cc compares its outputs with ref's, numerics_test.cc compares their bits
// among chunkings, thread counts and instruction sets.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "backend/ops.h"
#include "base/rng.h"
#include "tensor/buffer.h"

namespace r1 {

// Outputs are kept as doubles, which hold floats, bf16 patterns and token ids exactly.
struct Output {
  std::string name;
  std::vector<double> values;
};

// [begin, begin + count) of a batch's rows.
struct RowRange {
  int64_t begin = 0, count = 0;
};
using Chunks = std::vector<RowRange>;

struct Case {
  std::string name;
  int64_t rows = 0;  // of the batch
  // How far an element may be from ref's, by the larger of its size and the output's root mean
  // square. 0: the op moves numbers or draws tokens.
  double tolerance = 0;
  // Calls the op once a chunk, in order, and returns what all of them left. Inputs are the same at
  // every call, and the caller's chunks cover [0, rows) in order.
  std::function<std::vector<Output>(Ops&, const Chunks&)> run;
  // The weights are bf16: avx512bf16 has a multiply-add of its own and may differ in bits.
  bool bf16 = false;
};

std::vector<Case> product_cases();    // conformance_products_test.cc
std::vector<Case> mapped_cases();     // conformance_mapped_test.cc
std::vector<Case> row_cases();        // conformance_rows_test.cc
std::vector<Case> expert_cases();     // conformance_experts_test.cc
std::vector<Case> attention_cases();  // conformance_attention_test.cc
std::vector<Case> loss_cases();       // conformance_loss_test.cc: the loss, sampling, the optimizer

inline Chunks all_rows(const Case& c) {
  return {{0, c.rows}};
}

// A matrix whose rows are `pad` elements further apart than they are long. What lies between holds
// a mark, and values() checks that no op has written there.
class Matrix {
 public:
  Matrix(int64_t rows, int64_t cols, int64_t pad = 3)
      : rows_(rows),
        cols_(cols),
        stride_(cols + pad),
        data_(static_cast<size_t>(rows * stride_), kMark) {
    fill([] { return 0.0f; });
  }
  static Matrix random(Rng& rng, int64_t rows, int64_t cols, double scale = 1, int64_t pad = 3) {
    Matrix m(rows, cols, pad);
    m.fill([&] { return static_cast<float>(rng.normal() * scale); });
    return m;
  }

  operator Tensor() { return {data_.data(), rows_, cols_, stride_}; }  // NOLINT: implicit by design
  operator ConstTensor() const { return {data_.data(), rows_, cols_, stride_}; }  // NOLINT
  Tensor rows(const RowRange& r) { return Tensor(*this).slice_rows(r.begin, r.count); }
  ConstTensor rows(const RowRange& r) const {
    return ConstTensor(*this).slice_rows(r.begin, r.count);
  }
  float& at(int64_t r, int64_t c) { return data_[static_cast<size_t>(r * stride_ + c)]; }

  std::vector<double> values() const {
    std::vector<double> result;
    for (int64_t r = 0; r < rows_; ++r) {
      const float* row = data_.data() + r * stride_;
      result.insert(result.end(), row, row + cols_);
      for (int64_t c = cols_; c < stride_; ++c) {
        EXPECT_EQ(row[c], kMark) << "written beyond the end of row " << r;
      }
    }
    return result;
  }

 private:
  static constexpr float kMark = 12345.678f;

  template <class F>
  void fill(F&& value) {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) at(r, c) = value();
    }
  }

  int64_t rows_, cols_, stride_;
  std::vector<float> data_;
};

inline std::vector<float> random_floats(Rng& rng, int64_t count, double scale = 1) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(rng.normal() * scale);
  return values;
}

template <class T>
std::vector<double> widen(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

// The part of a per-row array that belongs to a chunk.
template <class T>
std::span<const T> span_of(const std::vector<T>& values, const RowRange& r) {
  return {values.data() + r.begin, static_cast<size_t>(r.count)};
}

// How many elements of two runs' outputs differ in any bit.
inline int64_t bit_mismatches(const std::vector<Output>& a, const std::vector<Output>& b) {
  EXPECT_EQ(a.size(), b.size());
  int64_t mismatches = 0;
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    EXPECT_EQ(a[i].values.size(), b[i].values.size()) << a[i].name;
    for (size_t j = 0; j < a[i].values.size() && j < b[i].values.size(); ++j) {
      mismatches += std::memcmp(&a[i].values[j], &b[i].values[j], sizeof(double)) != 0;
    }
  }
  return mismatches;
}

// Cuts of a batch: each row alone, fours, sixteens, and pieces of 1 to 17 rows.
inline std::vector<Chunks> chunkings(int64_t rows) {
  std::vector<Chunks> result;
  const auto cut = [&](auto&& size) {
    Chunks chunks;
    for (int64_t at = 0; at < rows;) {
      const int64_t count = std::min<int64_t>(rows - at, size());
      chunks.push_back({at, count});
      at += count;
    }
    result.push_back(chunks);
  };
  Rng rng(99);
  cut([] { return 1; });
  cut([] { return 4; });
  cut([] { return 16; });
  cut([&] { return rng.between(1, 17); });
  return result;
}

// How many output elements depend on how the case's batch is cut: 0, or a kernel breaks the
// numerics contract.
inline int64_t chunking_mismatches(Ops& ops, const Case& c) {
  const std::vector<Output> whole = c.run(ops, all_rows(c));
  int64_t mismatches = 0;
  for (const Chunks& chunks : chunkings(c.rows)) {
    mismatches += bit_mismatches(whole, c.run(ops, chunks));
  }
  return mismatches;
}

}  // namespace r1
