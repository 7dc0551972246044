#if defined(__AVX2__) && defined(__FMA__)

#include "backend/cpu/simd_avx2.h"

#define R1_BF16_DOT 0
namespace {
constexpr int kTileRows = 6, kTilePanels = 1, kWeightRows = 6;
}
#include "backend/cpu/kernels.inl"

namespace r1::cpu {
const Kernels* avx2_kernels() {
  static constexpr Kernels kTable = table("avx2");
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kTable : nullptr;
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
