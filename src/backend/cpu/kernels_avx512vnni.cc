#if defined(__AVX512VNNI__)

#include "backend/cpu/simd_avx512.h"

#define R1_BF16_DOT 0
namespace {
constexpr int kTileRows = 12, kTilePanels = 2, kRowGroup = 8;
constexpr int kByteTileRows = 8, kBytePanels = 2;
}
#include "backend/cpu/kernels.inl"

namespace r1::cpu {
const Kernels* avx512vnni_kernels() {
  static constexpr Kernels kTable = table("avx512vnni");
  const bool has = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  return has ? &kTable : nullptr;
}
}  // namespace r1::cpu

#else

#include "backend/cpu/kernels.h"

namespace r1::cpu {
const Kernels* avx512vnni_kernels() {
  return nullptr;
}
}  // namespace r1::cpu

#endif
