#include "backend/cpu/simd_portable.h"

#define R1_BF16_DOT 0
namespace {
constexpr int kTileRows = 4, kTilePanels = 1, kRowGroup = 4;
constexpr int kByteTileRows = 2, kBytePanels = 1;
}
#include "backend/cpu/kernels.inl"

namespace r1::cpu {
const Kernels* portable_kernels() {
  static constexpr Kernels kTable = table("portable");
  return &kTable;
}
}  // namespace r1::cpu
