// safetensors: a file is refused in one line, or every tensor it names lies within it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/safetensors.h"

namespace r1 {
namespace {

void check(bool holds) {
  if (!holds) __builtin_trap();
}

// The reader maps files, so there has to be one: in memory, where there is such a place.
const std::string& scratch() {
  static const std::string kPath = [] {
    const bool memory = std::filesystem::is_directory("/dev/shm");
    const std::string folder = memory ? "/dev/shm" : std::filesystem::temp_directory_path();
    return folder + "/r1-fuzz-" + std::to_string(::getpid()) + ".safetensors";
  }();
  return kPath;
}

void open(const char* data, size_t size) {
  std::ofstream(scratch(), std::ios::binary).write(data, static_cast<std::streamsize>(size));
  try {
    const SafeTensors file = SafeTensors::open(scratch());
    size_t total = 0;
    for (const TensorInfo& t : file.tensors()) {
      total += t.bytes.size();
      check(file.find(t.name) == &t);
      check(t.bytes.size() % dtype_size(t.dtype) == 0);
      int64_t elements = 1;
      for (const int64_t n : t.shape) elements *= n;
      check(elements == t.elements());
      if (t.dtype != DType::kF32) continue;
      std::vector<float> values(static_cast<size_t>(t.elements()));
      copy_to_f32(t, values.data());  // reads every byte
    }
    check(total <= size);
  } catch (const InputError& e) {
    check(std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  std::filesystem::remove(scratch());
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::open(reinterpret_cast<const char*>(data), size);
  return 0;
}
