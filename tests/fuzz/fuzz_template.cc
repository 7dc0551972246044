// The template interpreter: any source ends in text or in an InputError of one line, within its
// bounds; and the text's data lies where it can.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "fuzzing.h"
#include "text/chat_template.h"
#include "text/unicode.h"

namespace r1 {
namespace {

const OrderedJson kMessages = {
    {{"role", "system"}, {"content", "Be brief."}},
    {{"role", "user"}, {"content", "Grüße <b>"}},
    {{"role", "assistant"},
     {"content", "<think>a</think>b"},
     {"tool_calls", {{{"function", {{"name", "f"}, {"arguments", {{"x", 1.5}}}}}}}}},
    {{"role", "user"}, {"content", "2"}},
};

ChatTemplateOptions options() {
  ChatTemplateOptions o;
  o.bos_token = "<s>";
  o.eos_token = "</s>";
  o.tools = OrderedJson::array({{{"name", "f"}, {"n", 7}, {"none", nullptr}}});
  o.variables = {{"enable_thinking", true}, {"l", {3, 1, 2}}};
  return o;
}

void render(std::string_view source) {
  try {
    const PromptText out = ChatTemplate::parse(source, "fuzz").render(kMessages, options());
    check(is_utf8(out.text));
    size_t end = 0;
    for (const PromptText::Range& range : out.data) {
      check(range.begin >= end && range.begin < range.end && range.end <= out.text.size());
      end = range.end + 1;
    }
  } catch (const InputError& e) {
    check(std::string_view(e.what()).starts_with("fuzz:"));
  }
}

}  // namespace
}  // namespace r1

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  r1::render({reinterpret_cast<const char*>(data), size});
  return 0;
}
