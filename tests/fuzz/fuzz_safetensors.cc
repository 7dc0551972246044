// safetensors: a file is refused in one line, or every tensor it names lies within it.

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "fuzzing.h"
#include "io/safetensors.h"

namespace r1 {
namespace {

void open(const char* data, size_t size) {
  const FuzzFile scratch(data, size, ".safetensors");
  try {
    const SafeTensors file = SafeTensors::open(scratch.path());
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
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::open(reinterpret_cast<const char*>(data), size);
  return 0;
}
