#if defined(__aarch64__)

#include "backend/cpu/simd_neon.h"

#define R1_BF16_DOT 0
namespace {
constexpr int kTileRows = 4, kTilePanels = 1, kRowGroup = 4;
constexpr int kByteTileRows = 4, kBytePanels = 1;
}
#include "backend/cpu/kernels.inl"

namespace r1::cpu {
const Kernels* neon_kernels() {
  static constexpr Kernels kTable = table("neon");
  return &kTable;
}
}  // namespace r1::cpu

#else

#include "backend/cpu/kernels.h"

namespace r1::cpu {
const Kernels* neon_kernels() {
  return nullptr;
}
}  // namespace r1::cpu

#endif
