// Products of bytes: rows of the input rounded to whole numbers, and weights in block formats.
//
// Sums of products of bytes are exact, so only the chain of multiply-adds over groups remains to be
// kept in order:
//   acc = fma(float(sum q w), weight scale * row scale, acc)     group by group
//   acc = fma(-minimum, row scale * sum q, acc)                  after each group that has minima
#pragma once

#include "backend/cpu/block_formats.inl"
#include "backend/cpu/file_rows.inl"
#include "backend/cpu/products.inl"

namespace {

constexpr int kBytesGroup = 32;  // elements of a row of x that share a scale

// Rows that one pass over a panel takes: kByteTileRows, and of what is left at the end the largest
// powers of two.
struct ByteTile {
  int64_t row;
  int rows;
};

inline ByteTile byte_tile(const ByteRows& x, int64_t t) {
  ByteTile tile{t / kByteTileRows * kByteTileRows, kByteTileRows};
  for (; tile.row + tile.rows > x.rows || t >= tile.row + tile.rows; tile.rows /= 2) {
    if (tile.row + tile.rows <= x.rows) tile.row += tile.rows;
  }
  return tile;
}

// Rows of x to bytes: scale = max |x| / 127 over 32 elements, q = x * (127 / max |x|), to nearest,
// ties to even. Below 1e-30 everything is zero: the factor would overflow.
void byte_rows(Format format, const float* x, int64_t xs, const ByteRows& out, int64_t row_begin,
               int64_t row_end) {
  const int64_t blocks = out.k / kBytesGroup, groups = kBytesGroup / out.group;
  const int bias = with_block_format(format, [](auto block) { return block.kBias; });
  for (int64_t t = row_begin; t < row_end; ++t) {
    const ByteTile tile = byte_tile(out, t);
    const int64_t lane = t - tile.row;
    int8_t* q = out.q + tile.row * out.k + 4 * lane;
    for (int64_t b = 0; b < blocks; ++b) {
      const V16 first = load(x + t * xs + b * kBytesGroup);
      const V16 second = load(x + t * xs + b * kBytesGroup + kLanes), zero = set1(0.0f);
      const float top = max_lane(max(max(first, sub(zero, first)), max(second, sub(zero, second))));
      const V16 factor = set1(top > 1e-30f ? 127.0f / top : 0.0f);
      const V16 q1 = round(mul(first, factor)), q2 = round(mul(second, factor));
      int8_t bytes[kBytesGroup];
      store_bytes(bytes, q1);
      store_bytes(bytes + kLanes, q2);
      for (int i = 0; i < kBytesGroup; i += 4, q += 4 * tile.rows) memcpy(q, bytes + i, 4);
      // Whole numbers: exact.
      const int32_t sum1 = static_cast<int32_t>(sum(q1)), sum2 = static_cast<int32_t>(sum(q2));
      const int64_t at = tile.row * blocks + b * tile.rows + lane;
      out.scale[at] = top > 1e-30f ? top / 127.0f : 0.0f;
      out.scaled_sum[at] = out.scale[at] * static_cast<float>(sum1 + sum2);
      int32_t* start = out.start + (tile.row * blocks + b * tile.rows) * groups + lane;
      start[0] = -bias * (groups == 1 ? sum1 + sum2 : sum1);
      if (groups == 2) start[tile.rows] = -bias * sum2;
    }
  }
}

// --- where blocks come from ---
//
// open(block) reads one block of kPanels panels, of which half(p) and column(p, i) are then asked.

// Calls f(i, four columns from i on) until all columns were read; the last four may overlap those
// before.
template <class Format, class Rows, class F>
[[gnu::always_inline]] inline void each_four_columns(const Rows& rows, int64_t block, const F& f) {
#pragma GCC unroll 16
  for (int i = 0; i < Format::kColumns; i += 4) {
    const int first = i + 4 <= Format::kColumns ? i : Format::kColumns - 4;
    I16 four[4];
    rows.columns(block * Format::kBytes + Format::kFirst + 4 * first, four);
    f(first, four);
  }
}

// From a file: one panel's rows, transposed as they are read. For blocks whose columns registers
// hold.
template <class Format, class Rows>
struct FileBlocks {
  static constexpr int kPanels = 1;
  Rows rows;
  V16 number;
  I16 columns[Format::kColumns];

  void open(int64_t block) {
    if constexpr (Format::kHalf >= 0) {
      const auto half = rows.at(block * Format::kBytes + Format::kHalf, 2);
      uint8_t halves[2 * kLanes];
      for (int r = 0; r < kLanes; ++r) memcpy(halves + 2 * r, half(r), 2);
      number = load_f16(halves);
    }
    each_four_columns<Format>(rows, block, [&](int i, const I16(&four)[4]) {
      for (int j = 0; j < 4; ++j) columns[i + j] = four[j];
    });
  }
  V16 half(int) const { return number; }
  I16 column(int, int i) const { return columns[i]; }
  template <int kRows, int kGroups>
  void ask_ahead(int) const {}
};

// Transposed before: kBytePanels panels stand together, of a block first the numbers of all of
// them, then the first column of each, and so on. That is the order in which products read: one
// stream.
constexpr int kColumnBytes = 4 * kLanes;

template <class Format>
struct PanelBlocks {
  static constexpr int kPanels = kBytePanels;
  static constexpr int64_t kHalfBytes = Format::kHalf >= 0 ? 2 * kLanes : 0;
  static constexpr int64_t kBytes = int64_t{kPanels} * kLanes * Format::kBytes;  // of a block
  const uint8_t* w;
  const uint8_t* at = nullptr;

  // Asks for one of kGroups parts of what is to be read soon: of a super-block, or for many rows,
  // further ahead. Beyond blocks that were transposed into a task's memory lies more of it.
  template <int kRows, int kGroups>
  void ask_ahead(int group) const {
    constexpr int64_t kAhead = kRows < 8 && kBytes < 4096 ? 4096 : 8192, kPart = kBytes / kGroups;
    const uint8_t* next = at + kAhead + group * kPart;
    for (int64_t i = 0; i < kPart; i += 64) __builtin_prefetch(next + i, 0, 2);
  }
  void open(int64_t block) { at = w + block * kBytes; }
  V16 half(int p) const {
    if constexpr (kHalfBytes == 0) return set1(0.0f);
    return load_f16(at + p * kHalfBytes);
  }
  I16 column(int p, int i) const {
    return load_int(at + kPanels * kHalfBytes + (i * kPanels + p) * kColumnBytes);
  }
};

template <class Format>
void transpose_block(const Matmul& m, int64_t panel, int64_t block, uint8_t* out) {
  constexpr int kP = kBytePanels;
  uint8_t* const columns = out + kP * PanelBlocks<Format>::kHalfBytes;
  for (int p = 0; p < kP; ++p) {
    with_file_rows(m, panel + p, kP, [&](auto rows) {
      if constexpr (Format::kHalf >= 0) {
        const auto half = rows.at(block * Format::kBytes + Format::kHalf, 2);
        for (int r = 0; r < kLanes; ++r, out += 2) memcpy(out, half(r), 2);
      }
      each_four_columns<Format>(rows, block, [&](int i, const I16(&four)[4]) {
        for (int j = 0; j < 4; ++j) store(columns + ((i + j) * kP + p) * kColumnBytes, four[j]);
      });
    });
  }
}

// --- products ---

// A tile's numbers, from element k of K on.
template <int kRows>
struct ByteTileRows {
  const int8_t* q;
  const float *scale, *scaled_sum;
  const int32_t* start;

  ByteTileRows(const ByteRows& x, int64_t row, int64_t k)
      : q(x.q + row * x.k + k * kRows),
        scale(x.scale + (row * x.k + k * kRows) / kBytesGroup),
        scaled_sum(x.scaled_sum + (row * x.k + k * kRows) / kBytesGroup),
        start(x.start + (row * x.k + k * kRows) / x.group) {}
};

// The exact sums of one group for kRows rows and kPanels panels. bytes(p, j): elements 4 j, ...,
// 4 j + 3 of panel p.
template <int kRows, int kPanels, int kSteps, class Bytes>
[[gnu::always_inline]] inline void group_sums(const int8_t* q, const int32_t* start,
                                              const Bytes& bytes, I16 (&sum)[kRows][kPanels]) {
  // Where there are few sums each would wait for itself: two run side by side.
  constexpr int kSums = kRows * kPanels < 8 ? 2 : 1;
  I16 second[kRows][kPanels];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      sum[r][p] = set1_int(start[r]);
      if constexpr (kSums == 2) second[r][p] = set1_int(0);
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kSteps; ++j) {
    I16 b[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) b[p] = bytes(p, j);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      memcpy(&four, q + (j * kRows + r) * 4, sizeof four);
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        I16& s = j % kSums == 0 ? sum[r][p] : second[r][p];
        s = dot4(s, b[p], four);
      }
    }
  }
  if constexpr (kSums == 2) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) sum[r][p] = add(sum[r][p], second[r][p]);
    }
  }
}

// Chains of kRows rows, a tile, and of the blocks' panels go on over `count` blocks from `first`
// on: acc is [kRows][panels][16]. Not inlined: the sums need all vector registers.
template <class Format, int kRows, class Blocks>
[[gnu::noinline]] void byte_chains(const ByteRows& rows, int64_t row, Blocks blocks, int64_t first,
                                   int64_t count, float* acc) {
  constexpr int kPanels = Blocks::kPanels;
  constexpr int kGroup = Format::kGroup, kGroups = Format::kElements / kGroup;
  ByteTileRows<kRows> x(rows, row, first * Format::kElements);
  for (int64_t block = first; block < first + count; ++block) {
    blocks.open(block);
    const auto columns_of = [&](int p) { return [&, p](int i) { return blocks.column(p, i); }; };
    BlockScales<kGroups, Format::kMinima> scales[kPanels];
    for (int p = 0; p < kPanels; ++p) Format::scales(blocks.half(p), columns_of(p), scales[p]);
    for (int outer = 0; outer < kGroups / Format::kInner; ++outer) {
#pragma GCC unroll 8
      for (int inner = 0; inner < Format::kInner; ++inner) {
        const int g = outer * Format::kInner + inner;
        blocks.template ask_ahead<kRows, kGroups>(g);
        I16 sum[kRows][kPanels];
        group_sums<kRows, kPanels, kGroup / 4>(
            x.q, x.start,
            [&](int p, int j) { return Format::bytes(columns_of(p), outer, inner, j); }, sum);
        // No load of `acc` above this line: it would take a register from the sums.
        asm volatile("" ::: "memory");
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
          for (int p = 0; p < kPanels; ++p) {
            float* a = acc + (r * kPanels + p) * kLanes;
            const V16 scale = mul(scales[p].scale[g], set1(x.scale[r]));
            V16 total = fma(to_float(sum[r][p]), scale, load(a));
            if constexpr (Format::kMinima) {
              total = fma(scales[p].minus[g], set1(x.scaled_sum[r]), total);
            }
            store(a, total);
          }
        }
        x.q += kGroup * kRows;
        x.start += kRows;
        if (kGroup == kBytesGroup || inner % 2 == 1) {
          x.scale += kRows;
          x.scaled_sum += kRows;
        }
      }
    }
  }
}

// Calls f<rows of the tile>(row) for the tiles of [row_begin, row_end).
template <class F>
inline void each_byte_tile(const ByteRows& x, int64_t row_begin, int64_t row_end, const F& f) {
  static_assert(kByteTileRows <= 8);
  for (int64_t row = row_begin; row < row_end;) {
    const int rows = byte_tile(x, row).rows;
    switch (rows) {
      case 8:
        if constexpr (kByteTileRows >= 8) f.template operator()<8>(row);
        break;
      case 4:
        if constexpr (kByteTileRows >= 4) f.template operator()<4>(row);
        break;
      case 2:
        f.template operator()<2>(row);
        break;
      default:
        f.template operator()<1>(row);
    }
    row += rows;
  }
}

// One tile of rows, read from a file as it is.
template <class Format, int kRows>
void file_product(const Matmul& m, int64_t row, int64_t panel_begin, int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    alignas(64) float acc[kRows * kLanes] = {};
    with_file_rows(m, panel, 1, [&](auto rows) {
      const FileBlocks<Format, decltype(rows)> blocks{rows, {}, {}};
      byte_chains<Format, kRows>(m.bytes, row, blocks, 0, m.k / Format::kElements, acc);
    });
    for (int r = 0; r < kRows; ++r) finish(m, row + r, panel, load(acc + r * kLanes));
  }
}

// Whole kBytePanels panels, but for the last ones. All rows pass over some blocks at a time, which
// stay in the first-level cache: where they lie if the weight is repacked, or transposed from a
// file's rows.
template <class Format>
void panel_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                   int64_t panel_end) {
  constexpr int64_t kTileFloats = kBytePanels * kLanes;  // of a row
  constexpr int64_t kSome = 512 / Format::kElements, kBytes = PanelBlocks<Format>::kBytes;
  alignas(64) float acc[kMatmulRows * kTileFloats];
  alignas(64) uint8_t some[kSome * kBytes];
  const int64_t all = m.k / Format::kElements;
  for (int64_t panel = panel_begin; panel < panel_end; panel += kBytePanels) {
    memset(acc, 0, static_cast<size_t>((row_end - row_begin) * kTileFloats) * sizeof(float));
    for (int64_t first = 0; first < all; first += kSome) {
      const int64_t count = all - first < kSome ? all - first : kSome;
      PanelBlocks<Format> blocks{m.w + panel * kLanes * m.row_bytes};
      if (!m.repacked) {
        for (int64_t i = 0; i < count; ++i) {
          transpose_block<Format>(m, panel, first + i, some + i * kBytes);
        }
        blocks.w = some - first * kBytes;
      }
      each_byte_tile(m.bytes, row_begin, row_end, [&]<int kRows>(int64_t row) {
        float* sums = acc + (row - row_begin) * kTileFloats;
        byte_chains<Format, kRows>(m.bytes, row, blocks, first, count, sums);
      });
    }
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (int p = 0; p < kBytePanels && panel + p < panel_end; ++p) {
        finish(m, row, panel + p, load(acc + (row - row_begin) * kTileFloats + p * kLanes));
      }
    }
  }
}

template <class Format>
void block_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                   int64_t panel_end) {
  if constexpr (Format::kColumns <= 8) {
    const bool one_tile = byte_tile(m.bytes, row_begin).rows >= row_end - row_begin;
    if (one_tile && !m.repacked) {
      return each_byte_tile(m.bytes, row_begin, row_end, [&]<int kRows>(int64_t row) {
        file_product<Format, kRows>(m, row, panel_begin, panel_end);
      });
    }
  }
  panel_product<Format>(m, row_begin, row_end, panel_begin, panel_end);
}

template <class Format>
void repack_blocks(const Matmul& m, uint8_t* out, int64_t panel_begin, int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; panel += kBytePanels) {
    uint8_t* const to = out + panel * kLanes * m.row_bytes;
    for (int64_t block = 0; block < m.k / Format::kElements; ++block) {
      transpose_block<Format>(m, panel, block, to + block * PanelBlocks<Format>::kBytes);
    }
  }
}

}  // namespace
