// How the CPU cuts attention's query heads into tasks: here, because predictions of its time ask.
#pragma once

#include <cstdint>

namespace r1 {

// Query heads of a KV head that one task of attention takes, where `runs` of rows and KV heads are
// tasks anyway: at most 32, and where threads would be idle down to 8. A query's bits do not depend
// on it.
constexpr int64_t attention_heads(int64_t group, int64_t runs, int64_t threads) {
  constexpr int64_t kMost = 32, kFewest = 8;
  const auto parts_of = [](int64_t count, int64_t size) { return (count + size - 1) / size; };
  const int64_t wanted = parts_of(threads, runs), least = parts_of(group, kMost);
  const int64_t most = parts_of(group, kFewest);
  return parts_of(group, wanted < least ? least : wanted > most ? most : wanted);
}

}  // namespace r1
