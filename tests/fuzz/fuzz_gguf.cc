// GGUF: a file is refused in one line, or every tensor it names lies within it; and as a model,
// every tensor can be asked for and its tokenizer is a tokenizer.json.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/gguf_model.h"
#include "model/gguf_tokenizer.h"
#include "text/tokenizer.h"

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
    return folder + "/r1-fuzz-" + std::to_string(::getpid()) + ".gguf";
  }();
  return kPath;
}

// Whatever `f` does, it does it or says why not in one line.
template <class F>
void attempt(F&& f) {
  try {
    f();
  } catch (const InputError& e) {
    check(std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
}

void open(const char* data, size_t size) {
  std::ofstream(scratch(), std::ios::binary).write(data, static_cast<std::streamsize>(size));
  attempt([&] {
    const Gguf file = Gguf::open(scratch());
    size_t total = 0;
    for (const GgufTensor& t : file.tensors()) {
      total += t.bytes.size();
      check(file.find(t.name) == &t);
    }
    check(total <= size);
    attempt([&] { Tokenizer::parse(tokenizer_json_from_gguf(file.metadata(), "f"), "f"); });
    attempt([&] { tokenizer_config_from_gguf(file.metadata(), "f"); });
  });
  attempt([&] {
    const auto model = GgufModel::open(scratch());
    for (const TensorInfo& t : model->tensors()) {
      attempt([&] {
        const TensorInfo* found = model->find(t.name);
        check(found != nullptr && found->elements() <= static_cast<int64_t>(4 * size));
        std::vector<float> values(static_cast<size_t>(found->elements()));
        copy_to_f32(*found, values.data());  // reads every byte
      });
    }
  });
  std::filesystem::remove(scratch());
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::open(reinterpret_cast<const char*>(data), size);
  return 0;
}
