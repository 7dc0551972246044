// Ops::shape_logits and argmax: a row's last kept token is found by selection, and is the one that
// the sort of ref::filter_row ends at, for every row.
//
// Logits fall into buckets by how far they lie below the largest, 128 to a nat. A bucket's weight,
//   sum e^(x - top) = e^(-b / 128) sum e^-d,   |d| <= 1/256 from the bucket's middle,
// takes a cubic in d and no exp. Added up from the likeliest, whole buckets give what the sorted
// sum gives but for rounding, so they tell in which bucket the sum reaches its goal, top_p times
// that of all; in the bucket the token is found by halving. A sum is compared with the goal only
// where the two differ by more than both ways of adding can be off (kRelativeError). Where they do
// not, in about one of 10,000 rows, and where a logit is NaN or infinite, the row is sorted.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "backend/cpu/cpu_ops.h"
#include "backend/ref/ref_math.h"

namespace r1::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// --- floats as integers of the same order; NaN lies beyond the infinities ---

int32_t ordered(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float from_ordered(int32_t o) {
  return std::bit_cast<float>(o ^ ((o >> 31) & 0x7fffffff));
}

// A token of a row as a number: the larger logit first, of equals the lower id.
uint64_t key_of(float x, int64_t id) {
  const uint32_t down = 0x7fffffffu - static_cast<uint32_t>(ordered(x + 0.0f));  // -0 becomes 0
  return uint64_t{down} << 32 | static_cast<uint32_t>(id);
}

float logit_of(uint64_t key) {
  return from_ordered(static_cast<int32_t>(0x7fffffffu - static_cast<uint32_t>(key >> 32)));
}

// The last token that is kept.
struct Cut {
  float logit;
  int64_t id;
};

Cut cut_at(uint64_t key) {
  return {logit_of(key), static_cast<int64_t>(key & 0xffffffffu)};
}

// --- passes over a part of a row ---

struct Extremes {
  int32_t least = std::numeric_limits<int32_t>::max();
  int32_t most = std::numeric_limits<int32_t>::min();
};

Extremes multiply(float* x, int64_t count, float factor) {
  Extremes e;
  for (int64_t i = 0; i < count; ++i) {
    const float y = x[i] * factor;
    x[i] = y;
    const int32_t o = ordered(y);
    e.least = o < e.least ? o : e.least;
    e.most = o > e.most ? o : e.most;
  }
  return e;
}

// Weights beyond kNats are below 5e-18: less than rounding.
constexpr int kPerNat = 128, kNats = 40, kBuckets = kPerNat * kNats;
// What lies beyond goes to kRest places in turn, for a sum waits for the one before it. There the
// cubic gives any number.
constexpr int kRest = 8;
using Weights = std::array<double, kBuckets + kRest>;
// Of sums over n weights: rounding of both ways of adding, 4 n 2^-53 (Higham, Accuracy and
// Stability, section 4.2), with as much to spare; the cubic, 2^-32 / 24, and what the buckets'
// factors are off, likewise.
double relative_error(int64_t n) {
  return static_cast<double>(n) * 0x1p-50 + 3e-11;
}

// Adding 1.5 * 2^52 rounds to a whole number and leaves it in the last bits.
constexpr double kRound = 0x1.8p52;

uint64_t bucket_of(double rounded) {
  const uint64_t b = std::bit_cast<uint64_t>(rounded) - std::bit_cast<uint64_t>(kRound);
  return b < kBuckets ? b : kBuckets;
}

double position(float x, double top) {
  return (top - static_cast<double>(x)) * kPerNat;
}

// e^(-d / kPerNat), |d| <= 1/2
double weight_within(double d) {
  const double y = d * (-1.0 / kPerNat);
  return 1 + y * (1 + y * (0.5 + y * (1.0 / 6)));
}

// Adds the part's weights to its buckets', which wait for their factors; or, to choose by number, 1
// for each.
void add_weights(const float* x, int64_t count, double top, bool by_number, double* weights) {
  constexpr int64_t kBlock = 512;
  double rounded[kBlock], weight[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    for (int64_t i = 0; i < n; ++i) {
      const double at = position(x[begin + i], top);
      rounded[i] = at + kRound;
      weight[i] = weight_within(at - (rounded[i] - kRound));
    }
    if (by_number) std::fill_n(weight, n, 1.0);
    for (int64_t i = 0; i < n; ++i) {
      const uint64_t b = bucket_of(rounded[i]);
      weights[b < kBuckets ? b : kBuckets + static_cast<uint64_t>(i % kRest)] += weight[i];
    }
  }
}

// Appends the keys of those in the buckets [first, last]. id: of x[0].
void collect(const float* x, int64_t count, int64_t id, double top, uint64_t first, uint64_t last,
             std::vector<uint64_t>& keys) {
  // Whoever lies in the buckets lies between these; then it is looked at closely.
  const auto edge = [&](double at) { return static_cast<float>(top - at / kPerNat); };
  const float most = std::nextafter(edge(static_cast<double>(first) - 0.51), kInfinity);
  const float least = last == kBuckets
                          ? -kInfinity
                          : std::nextafter(edge(static_cast<double>(last) + 0.51), -kInfinity);
  constexpr int64_t kBlock = 16;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    int between = 0;
    for (int64_t i = 0; i < n; ++i) between |= (x[begin + i] >= least) & (x[begin + i] <= most);
    if (between == 0) continue;
    for (int64_t i = begin; i < begin + n; ++i) {
      const uint64_t b = bucket_of(position(x[i], top) + kRound);
      if (first <= b && b <= last) keys.push_back(key_of(x[i], id + i));
    }
  }
}

// What comes after the cut becomes -inf.
void drop(float* x, int64_t begin, int64_t end, const Cut& cut) {
  const int64_t middle = std::clamp(cut.id + 1, begin, end);
  for (int64_t i = begin; i < middle; ++i) x[i] = x[i] >= cut.logit ? x[i] : -kInfinity;
  for (int64_t i = middle; i < end; ++i) x[i] = x[i] > cut.logit ? x[i] : -kInfinity;
}

// The least logit whose weight is min_p or more.
float least_logit(float top, double min_p) {
  int64_t below = ordered(-kInfinity), least = ordered(top);
  while (least - below > 1) {
    const int64_t middle = (below + least) / 2;
    const auto x = static_cast<double>(from_ordered(static_cast<int32_t>(middle)));
    (std::exp(x - static_cast<double>(top)) >= min_p ? least : below) = middle;
  }
  return from_ordered(static_cast<int32_t>(least));
}

// --- a row ---

class Row {
 public:
  // The passes over it are cut into pieces for the pool's threads; none: the caller's alone.
  Row(float* x, int64_t width, ThreadPool* pool, int64_t pieces)
      : x_(x), width_(width), pool_(pool), pieces_(pieces) {}

  void shape(const LogitShape& shape) {
    const Extremes e = temper(shape.factor);
    top_ = from_ordered(e.most);
    const bool numbers = e.least >= ordered(-kInfinity) && std::isfinite(top_);
    const std::optional<Cut> cut = numbers ? find_cut(shape) : std::nullopt;
    if (!cut) return ref::filter_row(shape, x_, width_);
    each_piece([&](int64_t, int64_t begin, int64_t end) { drop(x_, begin, end, *cut); });
  }

 private:
  template <class F>
  void each_piece(F&& f) {
    const auto piece = [&](int64_t i) { f(i, width_ * i / pieces_, width_ * (i + 1) / pieces_); };
    if (pool_) {
      pool_->run(pieces_, piece);
    } else {
      for (int64_t i = 0; i < pieces_; ++i) piece(i);
    }
  }

  Extremes temper(float factor) {
    std::vector<Extremes> parts(static_cast<size_t>(pieces_));
    each_piece([&](int64_t i, int64_t begin, int64_t end) {
      parts[static_cast<size_t>(i)] = multiply(x_ + begin, end - begin, factor);
    });
    Extremes all;
    for (const Extremes& e : parts) {
      all.least = std::min(all.least, e.least);
      all.most = std::max(all.most, e.most);
    }
    return all;
  }

  Weights weigh(bool by_number) {
    std::vector<Weights> parts(static_cast<size_t>(pieces_));
    each_piece([&](int64_t i, int64_t begin, int64_t end) {
      add_weights(x_ + begin, end - begin, top(), by_number, parts[static_cast<size_t>(i)].data());
    });
    for (size_t i = 1; i < parts.size(); ++i) {
      for (size_t b = 0; b < parts[0].size(); ++b) parts[0][b] += parts[i][b];
    }
    return parts[0];
  }

  std::vector<uint64_t> keys_in(uint64_t first, uint64_t last) {
    std::vector<std::vector<uint64_t>> parts(static_cast<size_t>(pieces_));
    each_piece([&](int64_t i, int64_t begin, int64_t end) {
      collect(x_ + begin, end - begin, begin, top(), first, last, parts[static_cast<size_t>(i)]);
    });
    for (size_t i = 1; i < parts.size(); ++i) {
      parts[0].insert(parts[0].end(), parts[i].begin(), parts[i].end());
    }
    return std::move(parts[0]);
  }

  // Nothing where rounding might decide.
  std::optional<Cut> find_cut(const LogitShape& shape) {
    std::optional<Cut> cut = Cut{-kInfinity, width_};
    if (shape.top_k > 0 && shape.top_k < width_) {
      cut = find_among_first(shape.top_k, shape.top_p);
    } else if (shape.top_p < 1) {
      cut = find_top_p(shape.top_p);
    }
    if (!cut || shape.min_p <= 0) return cut;
    const float least = least_logit(top_, shape.min_p);
    return least > cut->logit ? Cut{least, width_} : *cut;
  }

  // Of the k likeliest those that reach top_p, as the definition has it.
  Cut find_among_first(int64_t k, double top_p) {
    const Weights numbers = weigh(true);
    uint64_t last = 0;
    double number = numbers[0];
    while (number < static_cast<double>(k) && ++last < kBuckets) number += numbers[last];
    std::vector<uint64_t> keys = keys_in(0, last);
    std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end());
    keys.resize(static_cast<size_t>(k));
    if (top_p >= 1) return cut_at(keys.back());
    std::sort(keys.begin(), keys.end());
    const auto weight = [&](uint64_t key) {
      return std::exp(static_cast<double>(logit_of(key)) - top());
    };
    double total = 0, reached = 0;
    for (const uint64_t key : keys) total += weight(key);
    for (const uint64_t key : keys) {
      reached += weight(key);
      if (reached >= top_p * total) return cut_at(key);
    }
    return cut_at(keys.back());
  }

  std::optional<Cut> find_top_p(double top_p) {
    Weights weights = weigh(false);
    const double ratio = std::exp(-1.0 / kPerNat);
    double total = 0, factor = 1;
    for (size_t b = 0; b < kBuckets; ++b, factor *= ratio) total += weights[b] *= factor;
    const double goal = top_p * total, error = total * relative_error(width_);
    double before = 0;  // the buckets before this one
    for (uint64_t b = 0; b < kBuckets; before += weights[b++]) {
      if (before + weights[b] < goal - error) continue;
      if (before + weights[b] <= goal + error) return std::nullopt;
      return find_in_bucket(b, before, goal, error);
    }
    return std::nullopt;
  }

  // The token with which the sum, `before` without the bucket's, reaches the goal.
  std::optional<Cut> find_in_bucket(uint64_t bucket, double before, double goal, double error) {
    std::vector<uint64_t> keys = keys_in(bucket, bucket);
    const auto middle_of_bucket = static_cast<double>(bucket);
    const double factor = std::exp(-middle_of_bucket / kPerNat);
    auto begin = keys.begin(), end = keys.end();
    while (end - begin > 1) {
      const auto middle = begin + (end - begin) / 2;
      std::nth_element(begin, middle, end);
      double sum = before;
      for (auto key = begin; key != middle; ++key) {
        sum += factor * weight_within(position(logit_of(*key), top()) - middle_of_bucket);
      }
      if (std::abs(sum - goal) <= error) return std::nullopt;
      if (sum > goal) {
        end = middle;
      } else {
        begin = middle;
        before = sum;
      }
    }
    return cut_at(*begin);
  }

  double top() const { return static_cast<double>(top_); }

  float* x_;
  int64_t width_;
  ThreadPool* pool_;
  int64_t pieces_;
  float top_ = 0;
};

int64_t likeliest(const float* x, int64_t width) {
  if (std::isnan(x[0])) return 0;
  int32_t most = ordered(-kInfinity);
  for (int64_t i = 0; i < width; ++i) {
    const int32_t o = x[i] == x[i] ? ordered(x[i]) : ordered(-kInfinity);
    most = o > most ? o : most;
  }
  return std::find(x, x + width, from_ordered(most)) - x;
}

}  // namespace

void CpuOps::shape_logits(Tensor logits, std::span<const LogitShape> shapes) {
  R1_CHECK(logits.rows == static_cast<int64_t>(shapes.size()));
  constexpr int64_t kPiece = 8 * 1024;
  const auto shape_row = [&](int64_t r, ThreadPool* pool, int64_t pieces) {
    const LogitShape& shape = shapes[static_cast<size_t>(r)];
    float* x = logits.row(r);
    if (shape.factor == 0) {
      const int64_t best = likeliest(x, logits.cols);
      const float value = x[best];
      std::fill_n(x, logits.cols, -kInfinity);
      x[best] = value;
    } else if (shape.filters()) {
      Row(x, logits.cols, pool, pieces).shape(shape);
    } else if (shape.factor != 1) {
      kernels_.scale(x, shape.factor, logits.cols);
    }
  };
  if (logits.rows >= pool_.threads()) {
    pool_.run(logits.rows, [&](int64_t r) { shape_row(r, nullptr, 1); });
    return;
  }
  const int64_t pieces = std::clamp<int64_t>(logits.cols / kPiece, 1, pool_.threads());
  for (int64_t r = 0; r < logits.rows; ++r) shape_row(r, &pool_, pieces);
}

void CpuOps::argmax(ConstTensor logits, int32_t* token, float* value) {
  pool_.run(logits.rows, [&](int64_t r) {
    const int64_t best = likeliest(logits.row(r), logits.cols);
    token[r] = static_cast<int32_t>(best);
    value[r] = logits.row(r)[best];
  });
}

}  // namespace r1::cpu
