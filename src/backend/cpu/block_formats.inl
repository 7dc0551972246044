// GGUF's block formats (tensor/quant.h) as products of bytes read them: a new one is a struct and a
// row of with_block_format.
//
// A row is blocks of kElements in kBytes: kColumns dwords from byte kFirst on, and at kHalf a
// binary16 number (-1: none). For products sixteen rows, a panel, lie side by side: sixteen times
// the number, and columns, each one dword of the sixteen rows.
//
//   kBias           what a byte exceeds the weight's whole number by
//   kGroup          elements that share a scale
//   kInner          group (outer, inner) is number outer * kInner + inner of a block
//   scales(...)     of the block's groups, and the negated minima
//   bytes(...)      elements 4 j, ..., 4 j + 3 of a group as bytes
//
// of half, the panel's numbers, and column(i), its columns.
#pragma once

#include "backend/cpu/math.inl"

namespace {

constexpr uint32_t kNibbles = 0x0f0f0f0f;

template <int kGroups, bool kMinima>
struct BlockScales {
  V16 scale[kGroups], minus[kMinima ? kGroups : 1];
};

inline I16 nibbles(I16 x, bool upper) {
  return bit_and(upper ? shift_right(x, 4) : x, kNibbles);
}

// d (q - bias)
template <int kColumnsOfBits, int kBiasOfBytes>
struct ScaledBlock {
  static constexpr int kElements = 32, kHalf = 0, kFirst = 2, kColumns = kColumnsOfBits;
  static constexpr int kBytes = kFirst + 4 * kColumns, kBias = kBiasOfBytes;
  static constexpr int kGroup = 32, kInner = 1;
  static constexpr bool kMinima = false;

  template <class Column>
  static void scales(V16 half, const Column&, BlockScales<1, false>& out) {
    out.scale[0] = half;
  }
};

struct Q8_0Block : ScaledBlock<8, kByteBias> {
  template <class Column>
  static I16 bytes(const Column& column, int, int, int j) {
    const I16 q = column(j);
    return kByteBias == 0 ? q : add_bytes(q, set1_int(int32_t(0x01010101u * kByteBias)));
  }
};

struct Q4_0Block : ScaledBlock<4, 8> {
  template <class Column>
  static I16 bytes(const Column& column, int, int, int j) {
    return nibbles(column(j % 4), j >= 4);
  }
};

// d q + m: the minimum is -m.
template <int kColumnsOfBits>
struct OffsetBlock {
  static constexpr int kElements = 32, kHalf = -1, kFirst = 0, kColumns = 1 + kColumnsOfBits;
  static constexpr int kBytes = 4 * kColumns, kBias = 0;
  static constexpr int kGroup = 32, kInner = 1;
  static constexpr bool kMinima = true;

  template <class Column>
  static void scales(V16, const Column& column, BlockScales<1, true>& out) {
    out.scale[0] = from_f16(column(0));
    out.minus[0] = from_f16(shift_right(column(0), 16));
  }
};

struct Q4_1Block : OffsetBlock<4> {
  template <class Column>
  static I16 bytes(const Column& column, int, int, int j) {
    return nibbles(column(1 + j % 4), j >= 4);
  }
};

// Column `first` has the fifth bits of 32 elements, the four that follow the others.
template <class Column>
inline I16 five_bits(const Column& column, int first, int j) {
  // Bits 4 j, ..., 4 j + 3 go to the fifth bit of a byte each: copies of them 7, 14 and 21 higher.
  const I16 high = column(first);
  I16 bits = bit_and(j == 0 ? shift_left(high, 4) : shift_right(high, 4 * j - 4), 0xf0);
  bits = bit_or(bits, shift_left(bits, 7));
  bits = bit_or(bits, shift_left(bits, 14));
  return bit_or(nibbles(column(first + 1 + j % 4), j >= 4), bit_and(bits, 0x10101010));
}

struct Q5_0Block : ScaledBlock<5, 16> {
  template <class Column>
  static I16 bytes(const Column& column, int, int, int j) {
    return five_bits(column, 0, j);
  }
};

struct Q5_1Block : OffsetBlock<5> {
  template <class Column>
  static I16 bytes(const Column& column, int, int, int j) {
    return five_bits(column, 1, j);
  }
};

struct Q4_KBlock {
  static constexpr int kElements = 256, kBytes = 144, kHalf = -1, kFirst = 0, kColumns = 36;
  static constexpr int kBias = 0;
  static constexpr int kGroup = 32, kInner = 2;
  static constexpr bool kMinima = true;

  // The first piece: d, dmin, and 8 scales and 8 minima of 6 bits.
  template <class Column>
  static void scales(V16, const Column& column, BlockScales<8, true>& out) {
    const I16 head = column(0);
    const I16 six[3] = {column(1), column(2), column(3)};
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
  template <class Column>
  static I16 bytes(const Column& column, int outer, int inner, int j) {
    return nibbles(column(4 + 8 * outer + j), inner == 1);
  }
};

// After Q4_K's first piece 32 bytes, each with the fifth bits of eight elements: one a group.
struct Q5_KBlock : Q4_KBlock {
  static constexpr int kBytes = 176, kColumns = 44, kInner = 8;

  template <class Column>
  static I16 bytes(const Column& column, int, int inner, int j) {
    const I16 low = nibbles(column(12 + 8 * (inner / 2) + j), inner % 2 == 1);
    const I16 high = column(4 + j), bit = inner == 0 ? high : shift_right(high, inner);
    return bit_or(low, shift_left(bit_and(bit, 0x01010101), 4));
  }
};

struct Q6_KBlock {
  static constexpr int kElements = 256, kBytes = 210, kHalf = 208, kFirst = 0, kColumns = 52;
  static constexpr int kBias = 32;
  static constexpr int kGroup = 16, kInner = 8;
  static constexpr bool kMinima = false;

  template <class Column>
  static void scales(V16 d, const Column& column, BlockScales<16, false>& out) {
#pragma GCC unroll 16
    for (int j = 0; j < 16; ++j) {
      const I16 four = column(48 + j / 4);
      const I16 scale = shift_right_signed(shift_left(four, 24 - 8 * (j % 4)), 24);
      out.scale[j] = mul(d, to_float(scale));
    }
  }
  // Of 128 elements, 16 of the first 32 and those 32, 64 and 96 further share bytes.
  template <class Column>
  static I16 bytes(const Column& column, int outer, int inner, int j) {
    const int quarter = inner / 2, half = inner % 2;
    const I16 low = column(16 * outer + 8 * (quarter % 2) + 4 * half + j);
    const I16 high = column(32 + 8 * outer + 4 * half + j);
    const I16 two = quarter == 0 ? high : shift_right(high, 2 * quarter);
    return bit_or(nibbles(low, quarter >= 2), shift_left(bit_and(two, 0x03030303), 4));
  }
};

// Calls f with a value of the format's description.
template <class F>
inline auto with_block_format(Format format, const F& f) {
  switch (format) {
    case Format::kQ8_0:
      return f(Q8_0Block{});
    case Format::kQ4_0:
      return f(Q4_0Block{});
    case Format::kQ4_1:
      return f(Q4_1Block{});
    case Format::kQ5_0:
      return f(Q5_0Block{});
    case Format::kQ5_1:
      return f(Q5_1Block{});
    case Format::kQ4_K:
      return f(Q4_KBlock{});
    case Format::kQ5_K:
      return f(Q5_KBlock{});
    case Format::kQ6_K:
      return f(Q6_KBlock{});
    case Format::kPackedF32:
    case Format::kPackedBf16:
    case Format::kF32:
    case Format::kBf16:
    case Format::kF16:
    case Format::kF8:
      break;
  }
  __builtin_trap();
}

}  // namespace
