// The registry: which backends and instruction sets this program has and this machine can run.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/ops.h"
#include "base/thread_pool.h"

namespace r1 {

struct BackendChoice {
  std::string backend;  // "ref" or "cpu"
  std::string isa;      // for cpu: "portable", "avx2", "avx512", "avx512vnni", "avx512bf16", "neon"
};

// Every choice that runs on this machine, slowest first; the last one is the default.
std::vector<BackendChoice> available_backends();

// `isa` is an instruction set's name, "ref" for the scalar oracle, "fenced" for the best one behind
// a fence (fenced/fenced_ops.h, for tests), or "" for R1_ISA from the environment or else the best.
// InputError if it is unknown or this machine lacks it. The pool must outlive the result.
std::unique_ptr<Ops> make_ops(ThreadPool& pool, std::string_view isa = "");

}  // namespace r1
