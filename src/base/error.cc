#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace r1 {

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "r1: a bug: %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace r1
