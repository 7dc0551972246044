// Sixteen rows of a weight as they lie in a file, read from left to right.
#pragma once

#include "backend/cpu/math.inl"

namespace {

// Rows as they lie in a file. A last panel that is not full repeats its last row: its columns are
// computed and not stored. What is read a panel (or a pair) later lies `ahead` of the rows; the
// lines there, which follow each other, are fetched while the rows are read, in equal steps.
template <bool kFull>
struct FileRows {
  const uint8_t* w;
  int64_t stride, last, ahead;

  struct Column {
    const uint8_t* p;
    int64_t stride, last;
    const uint8_t* operator()(int r) const { return p + (kFull || r < last ? r : last) * stride; }
  };
  // The rows from byte `offset` on, of which `bytes` will be read.
  Column at(int64_t offset, int64_t bytes) const {
    const uint8_t* next = w + ahead + kLanes * offset;
    for (int64_t i = 0; i < kLanes * bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
    return {w + offset, stride, last};
  }
  void columns(int64_t offset, I16 (&out)[4]) const { load_columns(at(offset, 16), out); }
  // What lies beyond `bytes` of them counts as zeros and is not touched: the file may end there.
  void columns(int64_t offset, int64_t bytes, I16 (&out)[4]) const {
    uint8_t rest[16][16] = {};
    const auto column = at(offset, bytes);
    for (int r = 0; r < 16; ++r) memcpy(rest[r], column(r), static_cast<size_t>(bytes));
    load_columns([&](int r) { return rest[r]; }, out);
  }
};

// Calls f with the panel's rows in the file; the panel to be read `later` after it is fetched. Of a
// panel beyond the last one all rows are the last row.
template <class F>
inline void with_file_rows(const Matmul& m, int64_t panel, int64_t later, const F& f) {
  const int64_t first = panel * kLanes < m.n ? panel * kLanes : m.n - 1, width = m.n - first;
  const int64_t ahead = later * kLanes * m.row_bytes;
  const uint8_t* w = m.w + first * m.row_bytes;
  if (width >= kLanes) {
    f(FileRows<true>{w, m.row_bytes, 15, ahead});
  } else {
    f(FileRows<false>{w, m.row_bytes, width - 1, ahead});
  }
}

}  // namespace
