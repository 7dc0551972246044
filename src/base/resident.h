// The machine's memory, and what of it the process holds.
#pragma once

#include <cstdint>

namespace r1 {

// The highest in bytes since the process began or the last reset (VmHWM in /proc/self/status); 0
// where the system does not tell.
int64_t peak_resident_bytes();
// Makes what is resident now the highest. Where that is not allowed, nothing happens.
void reset_peak_resident_bytes();
int64_t physical_memory_bytes();

}  // namespace r1
