#include "backend/backend.h"

#include <cstdlib>

#include "backend/cpu/cpu_ops.h"
#include "backend/fenced/fenced_ops.h"
#include "backend/ref/ref_ops.h"
#include "base/error.h"

namespace r1 {
namespace {

// Slowest first.
std::vector<const cpu::Kernels*> runnable_kernels() {
  std::vector<const cpu::Kernels*> result;
  for (const cpu::Kernels* k :
       {cpu::portable_kernels(), cpu::neon_kernels(), cpu::avx2_kernels(), cpu::avx512_kernels(),
        cpu::avx512vnni_kernels(), cpu::avx512bf16_kernels()}) {
    if (k) result.push_back(k);
  }
  return result;
}

}  // namespace

std::vector<BackendChoice> available_backends() {
  std::vector<BackendChoice> result = {{"ref", "scalar"}};
  for (const cpu::Kernels* k : runnable_kernels()) result.push_back({"cpu", k->isa});
  return result;
}

std::unique_ptr<Ops> make_ops(ThreadPool& pool, std::string_view isa) {
  std::string wanted(isa);
  if (wanted.empty()) {
    const char* variable = std::getenv("R1_ISA");
    wanted = variable ? variable : "";
  }
  if (wanted == "ref" || wanted == "scalar") return make_ref_ops();
  const auto kernels = runnable_kernels();
  if (wanted.empty()) return std::make_unique<cpu::CpuOps>(pool, *kernels.back());
  std::string names = "ref";
  if (wanted == "fenced") {
    return std::make_unique<FencedOps>(std::make_unique<cpu::CpuOps>(pool, *kernels.back()));
  }
  for (const cpu::Kernels* k : kernels) {
    if (wanted == k->isa) return std::make_unique<cpu::CpuOps>(pool, *k);
    names += std::string(", ") + k->isa;
  }
  throw InputError("instruction set '" + wanted + "' is not one this machine and build can run (" +
                   names + ")");
}

}  // namespace r1
