#include "base/error.h"

#include <cstdio>
#include <cstdlib>

// LeakSanitizer asks for these and nobody else does; they stand here because every program links
// this file. CLN and GiNaC, which the verifiers' algebra computes with, do not free what they hold
// where they throw (0 to a negative power), nor CLN its first numbers.
extern "C" {
const char* __lsan_default_suppressions();  // NOLINT: the sanitizer's names
const char* __lsan_default_options();       // NOLINT
const char* __lsan_default_suppressions() {
  return "leak:libcln\nleak:libginac\nleak:GiNaC::dynallocate\n";
}
const char* __lsan_default_options() {
  return "print_suppressions=0";
}
}

namespace r1 {

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "r1: a bug: %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace r1
