// Products of bytes: rows of the input rounded to whole numbers, and weights in block formats.
//
// Sums of products of bytes are exact, so only the chain of multiply-adds over groups remains to be
// kept in order:
//   acc = fma(float(sum q w), weight scale * row scale, acc)     group by group
//   acc = fma(-minimum, row scale * sum q, acc)                  after each group that has minima
#pragma once

#include "backend/cpu/file_rows.inl"
#include "backend/cpu/products.inl"

namespace {

constexpr int kBytesGroup = 32;  // elements of a row of x that share a scale

// What a stored byte exceeds the weight by: the formats keep it unsigned, and so does Q8_0 where
// the instruction set wants it.
constexpr int byte_bias(Format format) {
  switch (format) {
    case Format::kQ8_0:
      return kByteBias;
    case Format::kQ4_0:
      return 8;
    case Format::kQ6_K:
      return 32;
    default:
      return 0;
  }
}

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
  const int bias = byte_bias(format);
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

// --- the formats, which tensor/quant.h describes ---
//
// A row is blocks of kElements in kBytes: kPieces times 16 bytes from byte kFirst on, and at kHalf
// a binary16 number (-1: none). For products sixteen rows, a panel, lie side by side: sixteen times
// the number, and of each piece four columns, each one dword of the sixteen rows. kBytePanels
// panels stand together: of a block first the numbers of all of them, then the first column of
// each, and so on, which is the order in which products read.
//
//   kGroup          elements that share a scale
//   kInner          group (outer, inner) is number outer * kInner + inner of a block
//   scales(...)     of the block's groups, and the negated minima
//   bytes(...)      elements 4 j, ..., 4 j + 3 of a group as bytes, from the block's columns

constexpr uint32_t kNibbles = 0x0f0f0f0f;
constexpr int kColumnBytes = 4 * kLanes, kColumnStep = kBytePanels * kColumnBytes;

template <int kGroups, bool kMinima>
struct BlockScales {
  V16 scale[kGroups], minus[kMinima ? kGroups : 1];
};

inline I16 column(const uint8_t* columns, int i) {
  return load_int(columns + i * kColumnStep);
}
inline I16 nibbles(I16 x, bool upper) {
  return bit_and(upper ? shift_right(x, 4) : x, kNibbles);
}

struct Q8_0Block {
  static constexpr int kElements = 32, kBytes = 34, kHalf = 0, kFirst = 2, kPieces = 2;
  static constexpr int kGroup = 32, kInner = 1;
  static constexpr bool kMinima = false;

  static void scales(const uint8_t* half, const uint8_t*, BlockScales<1, false>& out) {
    out.scale[0] = load_f16(half);
  }
  static I16 bytes(const uint8_t* columns, int64_t, int, int j) {
    const I16 q = column(columns, j);
    return kByteBias == 0 ? q : add_bytes(q, set1_int(int32_t(0x01010101u * kByteBias)));
  }
};

struct Q4_0Block {
  static constexpr int kElements = 32, kBytes = 18, kHalf = 0, kFirst = 2, kPieces = 1;
  static constexpr int kGroup = 32, kInner = 1;
  static constexpr bool kMinima = false;

  static void scales(const uint8_t* half, const uint8_t*, BlockScales<1, false>& out) {
    out.scale[0] = load_f16(half);
  }
  static I16 bytes(const uint8_t* columns, int64_t, int, int j) {
    return nibbles(column(columns, j % 4), j >= 4);
  }
};

struct Q4_KBlock {
  static constexpr int kElements = 256, kBytes = 144, kHalf = -1, kFirst = 0, kPieces = 9;
  static constexpr int kGroup = 32, kInner = 2;
  static constexpr bool kMinima = true;

  // The first piece: d, dmin, and 8 scales and 8 minima of 6 bits.
  static void scales(const uint8_t*, const uint8_t* columns, BlockScales<8, true>& out) {
    const I16 head = column(columns, 0);
    const I16 six[3] = {column(columns, 1), column(columns, 2), column(columns, 3)};
    const V16 d = from_f16(head), minus = sub(set1(0.0f), from_f16(shift_right(head, 16)));
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      const auto number = [&](int which) {
        if (j < 4) return bit_and(shift_right(six[which], 8 * j), 63);
        const int at = 8 * (j - 4);
        return bit_or(bit_and(shift_right(six[2], at + 4 * which), 15),
                      shift_left(bit_and(shift_right(six[which], at + 6), 3), 4));
      };
      out.scale[j] = mul(d, to_float(number(0)));
      out.minus[j] = mul(minus, to_float(number(1)));
    }
  }
  // 32 bytes hold two groups, one above the other.
  static I16 bytes(const uint8_t* columns, int64_t outer, int inner, int j) {
    return nibbles(column(columns + (4 + 8 * outer) * kColumnStep, j), inner == 1);
  }
};

struct Q6_KBlock {
  static constexpr int kElements = 256, kBytes = 210, kHalf = 208, kFirst = 0, kPieces = 13;
  static constexpr int kGroup = 16, kInner = 8;
  static constexpr bool kMinima = false;

  static void scales(const uint8_t* half, const uint8_t* columns, BlockScales<16, false>& out) {
    const V16 d = load_f16(half);
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      const I16 four = column(columns, 48 + j / 4);
      const I16 scale = shift_right_signed(shift_left(four, 24 - 8 * (j % 4)), 24);
      out.scale[j] = mul(d, to_float(scale));
    }
  }
  // Of 128 elements, 16 of the first 32 and those 32, 64 and 96 further share bytes.
  static I16 bytes(const uint8_t* columns, int64_t outer, int inner, int j) {
    const int quarter = inner / 2, half = inner % 2;
    const I16 low = column(columns + 16 * outer * kColumnStep, 8 * (quarter % 2) + 4 * half + j);
    const I16 high = column(columns + (32 + 8 * outer) * kColumnStep, 4 * half + j);
    const I16 two = quarter == 0 ? high : shift_right(high, 2 * quarter);
    return bit_or(nibbles(low, quarter >= 2), shift_left(bit_and(two, 0x03030303), 4));
  }
};

// Bytes of the blocks of kBytePanels panels.
template <class Format>
constexpr int64_t kBlockStep = int64_t{kBytePanels} * kLanes* Format::kBytes;

// One block of the panels, from where it lies in the rows of a file, to `out`.
template <class Format>
void transpose_block(const Matmul& m, int64_t panel, int64_t block, uint8_t* out) {
  uint8_t* first = out + (Format::kHalf >= 0 ? kBytePanels * kLanes * 2 : 0);
  for (int p = 0; p < kBytePanels; ++p) {
    uint8_t* to = first + p * kColumnBytes;
    with_file_rows(m, panel + p, kBytePanels, [&](auto rows) {
      const int64_t at = block * Format::kBytes;
      if constexpr (Format::kHalf >= 0) {
        const auto half = rows.at(at + Format::kHalf, 2);
        for (int r = 0; r < kLanes; ++r, out += 2) memcpy(out, half(r), 2);
      }
      for (int i = 0; i < Format::kPieces; ++i) {
        I16 columns[4];
        rows.columns(at + Format::kFirst + 16 * i, columns);
        for (int j = 0; j < 4; ++j, to += kColumnStep) store(to, columns[j]);
      }
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

// The exact sums of one group for kRows rows and kBytePanels panels. bytes(p, j): elements
// 4 j, ..., 4 j + 3 of panel p.
template <int kRows, int kSteps, class Bytes>
[[gnu::always_inline]] inline void group_sums(const int8_t* q, const int32_t* start,
                                              const Bytes& bytes, I16 (&sum)[kRows][kBytePanels]) {
  // Where there are few sums each would wait for itself: two run side by side.
  constexpr int kSums = kRows * kBytePanels < 8 ? 2 : 1;
  I16 second[kRows][kBytePanels];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kBytePanels; ++p) {
      sum[r][p] = set1_int(start[r]);
      if constexpr (kSums == 2) second[r][p] = set1_int(0);
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < kSteps; ++j) {
    I16 b[kBytePanels];
#pragma GCC unroll 2
    for (int p = 0; p < kBytePanels; ++p) b[p] = bytes(p, j);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      memcpy(&four, q + (j * kRows + r) * 4, sizeof four);
#pragma GCC unroll 2
      for (int p = 0; p < kBytePanels; ++p) {
        I16& s = j % kSums == 0 ? sum[r][p] : second[r][p];
        s = dot4(s, b[p], four);
      }
    }
  }
  if constexpr (kSums == 2) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < kBytePanels; ++p) sum[r][p] = add(sum[r][p], second[r][p]);
    }
  }
}

// Chains of kRows rows, a tile, and kBytePanels panels go on over `blocks` blocks that begin with
// element k of K: acc is [kRows][kBytePanels][16]. The blocks are one stream, which the memory's
// own look-ahead follows better without prefetches than with them. Not inlined: the sums need all
// vector registers.
template <class Format, int kRows>
[[gnu::noinline]] void byte_chains(const ByteRows& rows, int64_t row, int64_t k, const uint8_t* w,
                                   int64_t blocks, float* acc) {
  constexpr int kGroup = Format::kGroup, kGroups = Format::kElements / kGroup;
  constexpr int64_t kHalves = Format::kHalf >= 0 ? kLanes * 2 : 0;
  ByteTileRows<kRows> x(rows, row, k);
  for (int64_t block = 0; block < blocks; ++block, w += kBlockStep<Format>) {
    const uint8_t* columns = w + kBytePanels * kHalves;
    BlockScales<kGroups, Format::kMinima> scales[kBytePanels];
    for (int p = 0; p < kBytePanels; ++p) {
      Format::scales(w + p * kHalves, columns + p * kColumnBytes, scales[p]);
    }
    for (int outer = 0; outer < kGroups / Format::kInner; ++outer) {
#pragma GCC unroll 8
      for (int inner = 0; inner < Format::kInner; ++inner) {
        I16 sum[kRows][kBytePanels];
        group_sums<kRows, kGroup / 4>(
            x.q, x.start,
            [&](int p, int j) {
              return Format::bytes(columns + p * kColumnBytes, outer, inner, j);
            },
            sum);
        // No load of `acc` above this line: it would take a register from the sums.
        asm volatile("" ::: "memory");
        const int g = outer * Format::kInner + inner;
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
          for (int p = 0; p < kBytePanels; ++p) {
            float* a = acc + (r * kBytePanels + p) * kLanes;
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

// Whole kBytePanels panels, but for the last ones. All rows pass over some blocks at a time, which
// stay in the first-level cache: where they lie if the weight is repacked, or transposed from a
// file's rows.
template <class Format>
void block_product(const Matmul& m, int64_t row_begin, int64_t row_end, int64_t panel_begin,
                   int64_t panel_end) {
  constexpr int64_t kTileFloats = kBytePanels * kLanes;  // of a row
  constexpr int64_t kSome = 512 / Format::kElements;
  alignas(64) float acc[kMatmulRows * kTileFloats];
  alignas(64) uint8_t some[kSome * kBlockStep<Format>];
  const int64_t blocks = m.k / Format::kElements;
  for (int64_t panel = panel_begin; panel < panel_end; panel += kBytePanels) {
    memset(acc, 0, static_cast<size_t>((row_end - row_begin) * kTileFloats) * sizeof(float));
    for (int64_t block = 0; block < blocks; block += kSome) {
      const int64_t count = blocks - block < kSome ? blocks - block : kSome;
      const uint8_t* w = some;
      if (m.repacked) {
        w = m.w + panel * kLanes * m.row_bytes + block * kBlockStep<Format>;
      } else {
        for (int64_t i = 0; i < count; ++i) {
          transpose_block<Format>(m, panel, block + i, some + i * kBlockStep<Format>);
        }
      }
      each_byte_tile(m.bytes, row_begin, row_end, [&]<int kRows>(int64_t row) {
        float* sums = acc + (row - row_begin) * kTileFloats;
        byte_chains<Format, kRows>(m.bytes, row, block * Format::kElements, w, count, sums);
      });
    }
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (int p = 0; p < kBytePanels && panel + p < panel_end; ++p) {
        const float* sums = acc + (row - row_begin) * kTileFloats + p * kLanes;
        finish(m, row, panel + p, load(sums));
      }
    }
  }
}

template <class Format>
void repack_blocks(const Matmul& m, uint8_t* out, int64_t panel_begin, int64_t panel_end) {
  for (int64_t panel = panel_begin; panel < panel_end; panel += kBytePanels) {
    uint8_t* to = out + panel * kLanes * m.row_bytes;
    for (int64_t block = 0; block < m.k / Format::kElements; ++block, to += kBlockStep<Format>) {
      transpose_block<Format>(m, panel, block, to);
    }
  }
}

}  // namespace
