// GGUF: a file is refused in one line, or every tensor it names lies within it; and as a model,
// every tensor can be asked for and its tokenizer is a tokenizer.json.

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "fuzzing.h"
#include "package/gguf_model.h"
#include "package/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace r1 {
namespace {

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
  const FuzzFile scratch(data, size, ".gguf");
  attempt([&] {
    const Gguf file = Gguf::open(scratch.path());
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
    const auto model = GgufModel::open(scratch.path());
    for (const TensorInfo& t : model->tensors()) {
      attempt([&] {
        const TensorInfo* found = model->find(t.name);
        check(found != nullptr && found->elements() <= static_cast<int64_t>(4 * size));
        std::vector<float> values(static_cast<size_t>(found->elements()));
        copy_to_f32(*found, values.data());  // reads every byte
      });
    }
  });
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::open(reinterpret_cast<const char*>(data), size);
  return 0;
}
