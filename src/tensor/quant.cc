#include "tensor/quant.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace r1 {
namespace {

constexpr int64_t kBlock = 32;        // elements of a block of Q8_0 to Q5_1, a part of Q4_K, Q5_K
constexpr float kTinyScale = 1e-15f;  // groups of values below count as zeros

float load_f16(const uint8_t* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return f16_to_f32(bits);
}

// Returns the value that was stored.
float store_f16(uint8_t* p, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(p, &bits, sizeof bits);
  return f16_to_f32(bits);
}

// `rounded` as a whole number in [low, high]; 0 for NaN.
int whole(float rounded, int low, int high) {
  if (std::isnan(rounded)) return 0;
  return static_cast<int>(std::clamp(rounded, static_cast<float>(low), static_cast<float>(high)));
}

// To nearest, ties to even.
int nearest(float x, int low, int high) {
  return whole(std::nearbyint(x), low, high);
}

// The element of the largest magnitude, the first if there are several.
float peak(const float* x, int64_t count) {
  float best = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (std::fabs(x[i]) > std::fabs(best)) best = x[i];
  }
  return best;
}

// ---- Q8_0:  d = max |x| / 127,  q = round(x / d), halves away from zero

void read_q8_0(const uint8_t* block, float* out) {
  const float d = load_f16(block);
  for (int64_t i = 0; i < kBlock; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
  }
}

void write_q8_0(const float* x, uint8_t* block) {
  const float d = std::fabs(peak(x, kBlock)) / 127.0f;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  store_f16(block, d);
  for (int64_t i = 0; i < kBlock; ++i) {
    block[2 + i] = static_cast<uint8_t>(whole(std::round(x[i] * inverse), -128, 127));
  }
}

// ---- Q4_0, Q5_0, Q4_1, Q5_1: whole numbers of 4 bits, two a byte, of element i and i + 16; before
// them of 5 bits the fifth ones, a bit an element

template <int kBits>
int get_bits(const uint8_t* packed, int64_t i) {
  constexpr int64_t kHigh = kBits == 5 ? kBlock / 8 : 0, kHalf = kBlock / 2;
  const int low = packed[kHigh + i % kHalf] >> 4 * (i / kHalf) & 15;
  return kHigh == 0 ? low : low | (packed[i / 8] >> i % 8 & 1) << 4;
}

// `packed` is zero before the first element.
template <int kBits>
void put_bits(uint8_t* packed, int64_t i, int q) {
  constexpr int64_t kHigh = kBits == 5 ? kBlock / 8 : 0, kHalf = kBlock / 2;
  packed[kHigh + i % kHalf] |= static_cast<uint8_t>((q & 15) << 4 * (i / kHalf));
  if constexpr (kHigh > 0) packed[i / 8] |= static_cast<uint8_t>(q >> 4 << i % 8);
}

template <int kBits>
void read_0(const uint8_t* block, float* out) {
  const float d = load_f16(block);
  for (int64_t i = 0; i < kBlock; ++i) {
    out[i] = static_cast<float>(get_bits<kBits>(block + 2, i) - (1 << (kBits - 1))) * d;
  }
}

// d = x_peak / -8 (or -16), so that the peak is q = 0;  q = floor(x / d + 8.5)
template <int kBits>
void write_0(const float* x, uint8_t* block) {
  constexpr int kMiddle = 1 << (kBits - 1);
  const float d = peak(x, kBlock) / -kMiddle;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  store_f16(block, d);
  std::memset(block + 2, 0, kBlock * kBits / 8);
  for (int64_t i = 0; i < kBlock; ++i) {
    const float q = std::trunc(x[i] * inverse + (kMiddle + 0.5f));
    put_bits<kBits>(block + 2, i, whole(q, 0, 2 * kMiddle - 1));
  }
}

template <int kBits>
void read_1(const uint8_t* block, float* out) {
  const float d = load_f16(block), m = load_f16(block + 2);
  for (int64_t i = 0; i < kBlock; ++i) {
    out[i] = static_cast<float>(get_bits<kBits>(block + 4, i)) * d + m;
  }
}

// m = min x,  d = (max x - m) / 15 (or 31),  q = floor((x - m) / d + 0.5)
template <int kBits>
void write_1(const float* x, uint8_t* block) {
  constexpr int kMax = (1 << kBits) - 1;
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  const float m = *low, d = (*high - m) / kMax;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  store_f16(block, d);
  store_f16(block + 2, m);
  std::memset(block + 4, 0, kBlock * kBits / 8);
  for (int64_t i = 0; i < kBlock; ++i) {
    put_bits<kBits>(block + 4, i, whole(std::trunc((x[i] - m) * inverse + 0.5f), 0, kMax));
  }
}

// ---- Q4_K, Q5_K

// 32 elements of the first q have their 4 lower bits in the low halves of 32 bytes, the next 32 in
// the high ones; the fifth bit of 32 elements is one of each byte of `high`.
template <int kBits>
struct KBits {
  static constexpr int64_t kHeader = 16, kHigh = kBits == 5 ? kBlock : 0;
  static int get(const uint8_t* block, int64_t e) {
    const int64_t part = e / kBlock, i = e % kBlock;
    const uint8_t *high = block + kHeader, *low = high + kHigh + part / 2 * kBlock;
    const int q = low[i] >> 4 * (part % 2) & 15;
    return kHigh == 0 ? q : q | (high[i] >> part & 1) << 4;
  }
  static void put(uint8_t* block, int64_t e, int q) {
    const int64_t part = e / kBlock, i = e % kBlock;
    uint8_t *high = block + kHeader, *low = high + kHigh + part / 2 * kBlock;
    low[i] |= static_cast<uint8_t>((q & 15) << 4 * (part % 2));
    if constexpr (kHigh > 0) high[i] |= static_cast<uint8_t>(q >> 4 << part);
  }
};

// Scale and minimum (0..63) of the j-th 32 elements of a Q4_K or Q5_K block, from its 12 bytes.
struct ScaleMin {
  int scale, min;
};
ScaleMin k_scale_min(const uint8_t* packed, int64_t j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4};
}

template <int kBits>
void read_k(const uint8_t* block, float* out) {
  const float d = load_f16(block), dmin = load_f16(block + 2);
  for (int64_t j = 0; j < kSuperBlock / kBlock; ++j) {
    const auto [s, m] = k_scale_min(block + 4, j);
    const float scale = d * static_cast<float>(s), min = dmin * static_cast<float>(m);
    for (int64_t e = j * kBlock; e < (j + 1) * kBlock; ++e) {
      out[e] = scale * static_cast<float>(KBits<kBits>::get(block, e)) - min;
    }
  }
}

// x ~ scale q - min with q in 0..max and min >= 0.
struct Affine {
  float scale, min;
};

// Least squares under the weights w: for rounding steps around (max - min) / 15 (or 31), the q that
// the step gives, and then the best scale and minimum for these q,
//   scale = (W Xq - X Q) / D,   -min = (QQ X - Q Xq) / D,   D = W QQ - Q Q
// with W, X, Q, QQ, Xq the sums of w, w x, w q, w q^2, w x q. The step whose result is nearest to x
// wins, and its minimum is the next steps' origin; the plain step is what they have to beat.
template <int kBits>
Affine fit_affine(const float* x, const float* w) {
  constexpr int kMax = (1 << kBits) - 1, kSteps = kBits == 5 ? 15 : 20;
  constexpr float kFirst = kBits == 5 ? -0.5f : -1.0f;
  float low = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
  for (int64_t i = 1; i < kBlock; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sum_w += w[i];
    sum_x += w[i] * x[i];
  }
  low = std::min(low, 0.0f);
  if (high == low) return {0, -low};

  std::array<float, kBlock> q;
  auto round_to = [&](float steps) {
    const float inverse = steps / (high - low);
    for (int64_t i = 0; i < kBlock; ++i) {
      q[static_cast<size_t>(i)] = static_cast<float>(nearest(inverse * (x[i] - low), 0, kMax));
    }
    return inverse;
  };
  auto error_of = [&](float scale, float offset) {
    float error = 0;
    for (int64_t i = 0; i < kBlock; ++i) {
      const float off = scale * q[static_cast<size_t>(i)] + offset - x[i];
      error += w[i] * (off * off);
    }
    return error;
  };
  float scale = 1 / round_to(kMax), best = error_of(scale, low);
  for (int step = 0; step <= kSteps; ++step) {
    round_to(kFirst + 0.1f * static_cast<float>(step) + kMax);
    float sum_q = 0, sum_qq = 0, sum_xq = 0;
    for (int64_t i = 0; i < kBlock; ++i) {
      const float wq = w[i] * q[static_cast<size_t>(i)];
      sum_q += wq;
      sum_qq += wq * q[static_cast<size_t>(i)];
      sum_xq += wq * x[i];
    }
    const float determinant = sum_w * sum_qq - sum_q * sum_q;
    if (!(determinant > 0)) continue;
    float s = (sum_w * sum_xq - sum_x * sum_q) / determinant;
    float offset = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
    if (offset > 0) {  // a minimum is subtracted, never added
      offset = 0;
      s = sum_xq / sum_qq;
    }
    const float error = error_of(s, offset);
    if (error < best) {
      best = error;
      scale = s;
      low = offset;
    }
  }
  return {scale, -low};
}

// Scales and minima are themselves whole numbers of 6 bits times d and dmin; the q are then chosen
// anew for what was stored. The weight of an element is the root mean square of its 32, plus |x|.
template <int kBits>
void write_k(const float* x, uint8_t* block) {
  constexpr int64_t kParts = kSuperBlock / kBlock;
  std::array<Affine, kParts> fits;
  float max_scale = 0, max_min = 0;
  for (size_t j = 0; j < kParts; ++j) {
    const float* part = x + static_cast<int64_t>(j) * kBlock;
    std::array<float, kBlock> w;
    float squares = 0;
    for (int64_t i = 0; i < kBlock; ++i) squares += part[i] * part[i];
    const float rms = std::sqrt(squares / kBlock);
    for (size_t i = 0; i < kBlock; ++i) w[i] = rms + std::fabs(part[i]);
    fits[j] = fit_affine<kBits>(part, w.data());
    max_scale = std::max(max_scale, fits[j].scale);
    max_min = std::max(max_min, fits[j].min);
  }
  const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f;
  const float inverse_min = max_min > 0 ? 63.0f / max_min : 0.0f;
  const float d = store_f16(block, max_scale / 63.0f), dmin = store_f16(block + 2, max_min / 63.0f);
  uint8_t* const packed = block + 4;
  std::memset(packed, 0, 12 + kSuperBlock * kBits / 8);
  for (int64_t j = 0; j < kParts; ++j) {
    const Affine& fit = fits[static_cast<size_t>(j)];
    const int s = nearest(inverse_scale * fit.scale, 0, 63);
    const int m = nearest(inverse_min * fit.min, 0, 63);
    if (j < 4) {
      packed[j] = static_cast<uint8_t>(s);
      packed[j + 4] = static_cast<uint8_t>(m);
    } else {
      packed[j + 4] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
      packed[j - 4] |= static_cast<uint8_t>(s >> 4 << 6);
      packed[j] |= static_cast<uint8_t>(m >> 4 << 6);
    }
  }
  for (int64_t j = 0; j < kParts; ++j) {
    const auto [s, m] = k_scale_min(packed, j);
    const float scale = d * static_cast<float>(s), min = dmin * static_cast<float>(m);
    for (int64_t e = j * kBlock; e < (j + 1) * kBlock; ++e) {
      constexpr int kMax = (1 << kBits) - 1;
      KBits<kBits>::put(block, e, scale != 0 ? nearest((x[e] + min) / scale, 0, kMax) : 0);
    }
  }
}

// ---- Q6_K

constexpr int64_t kPart6 = 16;  // elements that share a scale

// Where element e of a block keeps its 4 lower and 2 upper bits.
struct Q6Place {
  int64_t low, high;
  int low_shift, high_shift;
};
Q6Place q6_place(int64_t e) {
  const int64_t half = e / 128, c = e % 128 / 32, i = e % 32;
  return {64 * half + 32 * (c % 2) + i, 128 + 32 * half + i, static_cast<int>(4 * (c / 2)),
          static_cast<int>(2 * c)};
}

void read_q6_k(const uint8_t* block, float* out) {
  const float d = load_f16(block + 208);
  for (int64_t e = 0; e < kSuperBlock; ++e) {
    const Q6Place at = q6_place(e);
    const int q = (block[at.low] >> at.low_shift & 15) | (block[at.high] >> at.high_shift & 3) << 4;
    const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + e / kPart6]));
    out[e] = scale * static_cast<float>(q - 32);
  }
}

// The scale of 16 values for q in -32..31: for 19 rounding steps around peak / -32, the least
// squares scale (weights x^2) of the q that the step gives; the one that explains most of x wins.
float fit_scale(const float* x) {
  constexpr int kMax = 32;
  const float top = peak(x, kPart6);
  if (std::fabs(top) < kTinyScale) return 0;
  float scale = 0, best = 0;
  auto attempt = [&](float inverse, bool first) {
    float sum_xq = 0, sum_qq = 0;
    for (int64_t i = 0; i < kPart6; ++i) {
      const auto q = static_cast<float>(nearest(inverse * x[i], -kMax, kMax - 1));
      const float w = x[i] * x[i];
      sum_xq += w * x[i] * q;
      sum_qq += w * q * q;
    }
    if (first ? sum_qq != 0 : sum_qq > 0 && sum_xq * sum_xq > best * sum_qq) {
      scale = sum_xq / sum_qq;
      best = scale * sum_xq;
    }
  };
  attempt(-kMax / top, true);
  for (int step = -9; step <= 9; ++step) {
    if (step != 0) attempt(-(kMax + 0.1f * static_cast<float>(step)) / top, false);
  }
  return scale;
}

void write_q6_k(const float* x, uint8_t* block) {
  constexpr int64_t kParts = kSuperBlock / kPart6;
  std::memset(block, 0, dtype_block_bytes(DType::kQ6_K));
  std::array<float, kParts> scales;
  for (size_t j = 0; j < kParts; ++j) scales[j] = fit_scale(x + static_cast<int64_t>(j) * kPart6);
  const float top = peak(scales.data(), kParts);
  if (std::fabs(top) < kTinyScale) return;
  const float inverse = -128.0f / top, d = store_f16(block + 208, 1 / inverse);
  for (int64_t j = 0; j < kParts; ++j) {
    const int s = nearest(inverse * scales[static_cast<size_t>(j)], -128, 127);
    block[192 + j] = static_cast<uint8_t>(s);
    const float scale = d * static_cast<float>(s);
    for (int64_t e = j * kPart6; e < (j + 1) * kPart6; ++e) {
      const int q = 32 + (scale != 0 ? nearest(x[e] / scale, -32, 31) : 0);
      const Q6Place at = q6_place(e);
      block[at.low] |= static_cast<uint8_t>((q & 15) << at.low_shift);
      block[at.high] |= static_cast<uint8_t>(q >> 4 << at.high_shift);
    }
  }
}

// ---- plain types, element by element

template <class Bits, float (*kConvert)(Bits)>
void read_one(const uint8_t* element, float* out) {
  Bits bits;
  std::memcpy(&bits, element, sizeof bits);
  *out = kConvert(bits);
}

template <class Bits, Bits (*kConvert)(float)>
void write_one(const float* x, uint8_t* element) {
  const Bits bits = kConvert(*x);
  std::memcpy(element, &bits, sizeof bits);
}

float same(float x) {
  return x;
}

// How one block is read and written.
struct Format {
  DType dtype;
  void (*read)(const uint8_t* block, float* out);
  void (*write)(const float* x, uint8_t* block);
};

constexpr Format kFormats[] = {
    {DType::kF32, read_one<float, same>, write_one<float, same>},
    {DType::kF16, read_one<uint16_t, f16_to_f32>, write_one<uint16_t, f32_to_f16>},
    {DType::kBF16, read_one<uint16_t, bf16_to_f32>, write_one<uint16_t, f32_to_bf16>},
    {DType::kF8E4M3, read_one<uint8_t, f8e4m3_to_f32>, nullptr},
    {DType::kQ8_0, read_q8_0, write_q8_0},
    {DType::kQ4_0, read_0<4>, write_0<4>},
    {DType::kQ4_1, read_1<4>, write_1<4>},
    {DType::kQ5_0, read_0<5>, write_0<5>},
    {DType::kQ5_1, read_1<5>, write_1<5>},
    {DType::kQ4_K, read_k<4>, write_k<4>},
    {DType::kQ5_K, read_k<5>, write_k<5>},
    {DType::kQ6_K, read_q6_k, write_q6_k},
};

const Format* find_format(DType dtype) {
  for (const Format& f : kFormats) {
    if (f.dtype == dtype) return &f;
  }
  return nullptr;
}

}  // namespace

bool can_dequantize(DType dtype) {
  return find_format(dtype) != nullptr;
}

bool can_quantize(DType dtype) {
  const Format* f = find_format(dtype);
  return f && f->write;
}

std::string dequantizable_names() {
  std::string names;
  for (const Format& f : kFormats) {
    names += (names.empty() ? "" : ", ") + std::string(dtype_name(f.dtype));
  }
  return names;
}

void dequantize(DType dtype, const std::byte* blocks, int64_t count, float* out) {
  const Format* f = find_format(dtype);
  const int64_t block = dtype_block(dtype);
  R1_CHECK(f && count % block == 0);
  const auto* bytes = reinterpret_cast<const uint8_t*>(blocks);
  const size_t step = dtype_block_bytes(dtype);
  for (int64_t i = 0; i < count; i += block, bytes += step) f->read(bytes, out + i);
}

void quantize(DType dtype, const float* values, int64_t count, std::byte* out) {
  const Format* f = find_format(dtype);
  const int64_t block = dtype_block(dtype);
  R1_CHECK(f && f->write && count % block == 0);
  auto* bytes = reinterpret_cast<uint8_t*>(out);
  const size_t step = dtype_block_bytes(dtype);
  for (int64_t i = 0; i < count; i += block, bytes += step) f->write(values + i, bytes);
}

}  // namespace r1
