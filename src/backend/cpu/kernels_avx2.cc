#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <cpuid.h>

#include "backend/cpu/simd_avx2.h"

#define R1_BF16_DOT 0
namespace {
constexpr int kTileRows = 6, kTilePanels = 1, kRowGroup = 6;
constexpr int kByteTileRows = 2, kBytePanels = 1;
}
#include "backend/cpu/kernels.inl"

namespace r1::cpu {
namespace {

// Clang before 16 has no "f16c" among its features.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace

const Kernels* avx2_kernels() {
  static constexpr Kernels kTable = table("avx2");
  const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  return has ? &kTable : nullptr;
}
}  // namespace r1::cpu

#else

#include "backend/cpu/kernels.h"

namespace r1::cpu {
const Kernels* avx2_kernels() {
  return nullptr;
}
}  // namespace r1::cpu

#endif
