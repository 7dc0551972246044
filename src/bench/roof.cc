#include "bench/roof.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/error.h"
#include "tensor/buffer.h"

namespace r1 {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPiece = kMiB;  // what one task reads or copies

// The kernels of `isa`, or the best there are.
const cpu::Kernels& kernels_of(std::string_view isa) {
  const cpu::Kernels* best = nullptr;
  for (const cpu::Kernels* k : {cpu::portable_kernels(), cpu::neon_kernels(), cpu::avx2_kernels(),
                                cpu::avx512_kernels(), cpu::avx512bf16_kernels()}) {
    if (!k) continue;
    if (isa == k->isa) return *k;
    best = k;
  }
  R1_CHECK(best != nullptr);
  return *best;
}

// Calls work(), which returns how much it did, until `seconds` have passed; the most a second of
// all repetitions.
template <class F>
double best_rate(double seconds, int repetitions, F&& work) {
  using Clock = std::chrono::steady_clock;
  work();
  double best = 0;
  for (int i = 0; i < repetitions; ++i) {
    double done = 0, elapsed = 0;
    const auto start = Clock::now();
    do {
      done += work();
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    } while (elapsed < seconds);
    best = std::max(best, done / elapsed);
  }
  return best;
}

using Peak = int64_t (*)(int64_t rounds, float* sink);

double peak_rate(ThreadPool& pool, Peak peak, double seconds, int repetitions) {
  // Many tasks, of some 100 microseconds: no thread waits long for the last one.
  constexpr int64_t kRounds = 10000;
  const int64_t tasks = 16 * pool.threads();
  std::vector<int64_t> flops(static_cast<size_t>(tasks));
  return best_rate(seconds, repetitions, [&] {
    pool.run(tasks, [&](int64_t i) {
      // x = x / 2 + 1 stays below 2.
      alignas(64) float sink[64];
      std::fill(std::begin(sink), std::end(sink), 1.0f);
      sink[0] = 0.5f;
      flops[static_cast<size_t>(i)] = peak(kRounds, sink);
    });
    return static_cast<double>(std::accumulate(flops.begin(), flops.end(), int64_t{0}));
  });
}

using Words = uint64_t __attribute__((vector_size(64), aligned(64)));

// Both halves side by side: two streams for the prefetchers.
uint64_t sum_words(const std::byte* data, size_t bytes) {
  const Words* words = reinterpret_cast<const Words*>(data);
  const size_t half = bytes / sizeof(Words) / 2;
  Words a{}, b{};
  for (size_t i = 0; i < half; ++i) {
    a += words[i];
    b += words[half + i];
  }
  a += b;
  uint64_t sum = 0;
  for (size_t i = 0; i < 8; ++i) sum += a[i];
  return sum;
}

void add_one(std::byte* data, size_t bytes) {
  Words* words = reinterpret_cast<Words*>(data);
  for (size_t i = 0; i < bytes / sizeof(Words); ++i) words[i] += 1;
}

void measure_memory(ThreadPool& pool, double seconds, int repetitions, Roof& roof) {
  const size_t bytes = cold_bytes();
  const auto pieces = static_cast<int64_t>(bytes / kPiece);
  Buffer from(bytes), to(bytes);
  const auto piece = [](Buffer& buffer, int64_t i) {
    return buffer.data() + static_cast<size_t>(i) * kPiece;
  };
  pool.run(pieces, [&](int64_t i) {
    std::memset(piece(from, i), 1, kPiece);
    std::memset(piece(to, i), 2, kPiece);
  });
  std::vector<uint64_t> sums(static_cast<size_t>(pieces));
  roof.read = best_rate(seconds, repetitions, [&] {
    pool.run(pieces,
             [&](int64_t i) { sums[static_cast<size_t>(i)] = sum_words(piece(from, i), kPiece); });
    return static_cast<double>(bytes);
  });
  const uint64_t words = bytes / 8, word = 0x0101010101010101;
  R1_CHECK(std::accumulate(sums.begin(), sums.end(), uint64_t{0}) == words * word);
  roof.copy = best_rate(seconds, repetitions, [&] {
    pool.run(pieces, [&](int64_t i) { std::memcpy(piece(to, i), piece(from, i), kPiece); });
    return 2 * static_cast<double>(bytes);
  });
  R1_CHECK(std::memcmp(to.data(), from.data(), bytes) == 0);
  uint64_t updates = 0;
  roof.update = best_rate(seconds, repetitions, [&] {
    pool.run(pieces, [&](int64_t i) { add_one(piece(to, i), kPiece); });
    ++updates;
    return 2 * static_cast<double>(bytes);
  });
  R1_CHECK(sum_words(to.data(), bytes) == words * (word + updates));
}

}  // namespace

size_t cold_bytes() {
  long cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  cache = std::max(::sysconf(_SC_LEVEL2_CACHE_SIZE), ::sysconf(_SC_LEVEL3_CACHE_SIZE));
#endif
  const size_t bytes = 4 * static_cast<size_t>(std::max(0L, cache));
  return std::clamp(bytes / kMiB * kMiB, 128 * kMiB, 1024 * kMiB);
}

double Roof::memory_seconds(double read_bytes, double written_bytes) const {
  return std::max(read_bytes / read, (read_bytes + written_bytes) / std::max({read, copy, update}));
}

Roof measure_roof(ThreadPool& pool, std::string_view isa, double seconds, int repetitions) {
  const cpu::Kernels& kernels = kernels_of(isa);
  Roof roof;
  roof.isa = kernels.isa;
  roof.threads = pool.threads();
  ThreadPool one(1);
  roof.core_f32 = peak_rate(one, kernels.peak_f32, seconds, repetitions);
  roof.core_bf16 = peak_rate(one, kernels.peak_bf16, seconds, repetitions);
  roof.core_int8 = peak_rate(one, kernels.peak_int8, seconds, repetitions);
  if (pool.threads() == 1) {
    roof.f32 = roof.core_f32;
    roof.bf16 = roof.core_bf16;
    roof.int8 = roof.core_int8;
  } else {
    roof.int8 = peak_rate(pool, kernels.peak_int8, seconds, repetitions);
    roof.f32 = peak_rate(pool, kernels.peak_f32, seconds, repetitions);
    roof.bf16 = peak_rate(pool, kernels.peak_bf16, seconds, repetitions);
  }
  measure_memory(pool, seconds, repetitions, roof);
  return roof;
}

double median(std::vector<double> values) {
  const size_t middle = values.size() / 2;
  std::sort(values.begin(), values.end());
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Roof best_of(const Roof& a, const Roof& b) {
  Roof best = a;
  for (double Roof::*limit :
       {&Roof::core_f32, &Roof::f32, &Roof::core_bf16, &Roof::bf16, &Roof::core_int8, &Roof::int8,
        &Roof::read, &Roof::copy, &Roof::update}) {
    best.*limit = std::max(a.*limit, b.*limit);
  }
  return best;
}

}  // namespace r1
