#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "text/jinja/interpreter.h"
#include "text/think.h"

namespace r1 {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = R1_SOURCE_DIR;
const fs::path kPublished = kSource / ".." / "shared" / "data" / "templates";

std::string rendered(const std::string& source, const OrderedJson& messages,
                     const ChatTemplateOptions& options) {
  return ChatTemplate::parse(source, "test").render(messages, options).text;
}

std::string rendered(const std::string& source) {
  return rendered(source, OrderedJson::array(), {});
}

// The message of the InputError that rendering ends in.
std::string error_of(const std::string& source) {
  try {
    return "no error, but " + rendered(source).substr(0, 200);
  } catch (const InputError& e) {
    return e.what();
  }
}

OrderedJson message(const char* role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

ChatTemplateOptions options_of(const OrderedJson& row) {
  ChatTemplateOptions options;
  options.drop_thinking = false;
  options.add_generation_prompt = row.value("add_generation_prompt", true);
  options.bos_token = row.value("bos_token", "");
  options.eos_token = row.value("eos_token", "");
  options.tools = row.value("tools", OrderedJson());
  options.variables = row.value("variables", OrderedJson());
  return options;
}

// Compares with what transformers gave (tools/make_template_fixtures.py).
void expect_as_recorded(const std::string& source, const OrderedJson& row,
                        const ChatTemplateOptions& options) {
  const auto name = row["name"].get<std::string>();
  const OrderedJson messages = row.value("messages", OrderedJson::array());
  if (row["output"].is_null()) {
    EXPECT_THROW(rendered(source, messages, options), InputError) << name;
    return;
  }
  try {
    EXPECT_EQ(rendered(source, messages, options), row["output"].get<std::string>()) << name;
  } catch (const InputError& e) {
    ADD_FAILURE() << name << ": " << e.what();
  }
}

TEST(ChatTemplate, RendersAsTransformers) {
  const fs::path file = kSource / "tests/fixtures/chat_templates.json";
  const OrderedJson rows = parse_ordered_json(read_file(file), file.string());
  const OrderedJson variables = rows[0]["variables"];
  ASSERT_GT(rows.size(), 300u);
  for (size_t i = 1; i < rows.size(); ++i) {
    ChatTemplateOptions options = options_of(rows[i]);
    options.variables = variables;
    expect_as_recorded(rows[i]["template"].get<std::string>(), rows[i], options);
  }
}

TEST(ChatTemplate, PublishedTemplates) {
  if (!fs::is_directory(kPublished)) GTEST_SKIP() << kPublished << " is not there";
  const fs::path file = kSource / "tests/fixtures/published_templates.json";
  for (const OrderedJson& row : parse_ordered_json(read_file(file), file.string())) {
    expect_as_recorded(read_file(kPublished / row["template"].get<std::string>()), row,
                       options_of(row));
  }
}

TEST(ChatTemplate, ErrorsNameTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{% if x %}", "test:2: the block \"if\" does not end: expected {% endif %}"},
      {"\n\n{{ 1 + }}", "test:3: expected an expression, came }}"},
      {"{% include 'x' %}", "test:1: the tag \"include\" is not supported in chat templates"},
      {"{% wat %}", "test:1: unexpected tag \"wat\""},
      {"\n{{ 'x'|wat }}", "test:2: the filter 'wat' is not supported"},
      {"\n{{ 'x' is wat }}", "test:2: the test 'wat' is not supported"},
      {"{{ 'x'.format(1) }}", "test:1: .format() is not available in chat templates"},
      {"{{ '%s' % 1 }}", "test:1: formatting of strings with % is not supported"},
      {"{{\n x.y }}", "test:2: 'x' is undefined"},
      {"{{ {}.y.z }}", "test:1: 'dict object' has no attribute 'y'"},
      {"{{ [].append(1) }}", "test:1: .append() is not available in chat templates"},
      {"{{ 'a' + 1 }}", "test:1: can only concatenate str (not \"int\") to str"},
      {"{{ raise_exception('no tools') }}", "test:1: the template refuses: no tools"},
      {"{% for x in y recursive %}{% endfor %}", "test:1: recursive loops are not supported"},
      {"{{ 99999999999999999999 }}", "test:1: the integer is beyond 64 bits"},
      {"{{ 9223372036854775807 + 1 }}", "test:1: the result is an integer beyond 64 bits"},
      {"\xFF", "test: the template is not UTF-8"},
      {"{{ '\\ud800' }}", "test:1: the escape \"\\\\ud800\" is no character"},
  };
  for (const auto& [source, expected] : cases) EXPECT_EQ(error_of(source), expected) << source;
}

TEST(ChatTemplate, BombsEndAsOneLine) {
  const std::string doubled = "{% set ns = namespace(x='ab') %}{% for i in range(99) %}";
  const std::pair<std::string, const char*> cases[] = {
      {doubled + "{% set ns.x = ns.x + ns.x %}{% endfor %}", "too much work"},
      {doubled + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}", "too much work"},
      {doubled + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == [ns.x] }}{{ ns.x|tojson }}",
       "too much work"},
      {"{{ 'a' * 99999999999 }}", "too much work"},
      {"{{ [0] * 99999999999 }}", "too much work"},
      {"{{ 'a'.ljust(99999999999) }}", "too much work"},
      {"{{ '\\n'|indent(99999999999, true, true) }}", "too much work"},
      {"{{ ('a' * 100000)|replace('', 'b' * 100000) }}", "too much work"},
      {"{{ {'a': 1}|tojson(indent=99999999999) }}", "too much work"},
      {"{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}",
       "too much work"},
      {"{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "the output is larger"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "does a macro call itself"},
      {"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "does a macro call itself"},
      {"{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
       "nested deeper"},
      {"{% set ns = namespace() %}{% set ns.x = ns %}", "not supported"},
      {"{% set ns = namespace() %}{% set ns.x = [ns] %}", "not supported"},
      {"{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}", "nested deeper"},
      {"{{ " + std::string(5000, '-') + "1 }}", "nested deeper"},
      {"{{ range(999999999) }}", "range() of more than 100000"},
      {"{{ 2 ** 99 }}", "beyond 64 bits"},
  };
  for (const auto& [source, part] : cases) {
    const std::string error = error_of(source);
    EXPECT_NE(error.find(part), error.npos) << source.substr(0, 100) << "\n" << error;
    EXPECT_EQ(error.find('\n'), error.npos);
  }
  std::string ifs, ends;
  for (int i = 0; i < 150; ++i) ifs += "{% if true %}", ends += "{% endif %}";
  EXPECT_NE(error_of("{% macro f() %}" + ifs + "{{ f() }}" + ends + "{% endmacro %}{{ f() }}")
                .find("does a macro call itself"),
            std::string::npos);
  std::string chain = "{{ 1", nested;
  for (int i = 0; i < 5000; ++i) chain += " + 1";
  for (int i = 0; i < 5000; ++i) nested += "{% if true %}";
  EXPECT_NE(error_of(chain + " }}").find("nested deeper"), std::string::npos);
  EXPECT_NE(error_of(nested).find("nested deeper"), std::string::npos);
}

// A macro may outlive the loop that it was defined in.
TEST(ChatTemplate, MacrosKeepTheirScope) {
  EXPECT_EQ(rendered("{% set ns = namespace(f=0) %}{% for i in [7] %}{% macro g() %}<{{ i }}>"
                     "{% endmacro %}{% set ns.f = g %}{% endfor %}{{ ns.f() }}"),
            "<7>");
}

// --- where text comes from ---

const char* const kKeeps = "{% for m in messages %}({{ m.content }}){% endfor %}";

// The prompt with its data in brackets.
std::string marked(const PromptText& prompt) {
  std::string out = prompt.text;
  for (auto range = prompt.data.rbegin(); range != prompt.data.rend(); ++range) {
    out.insert(range->end, "]").insert(range->begin, "[");
  }
  return out;
}

std::string marked(const std::string& source, const OrderedJson& messages) {
  return marked(ChatTemplate::parse(source, "test").render(messages, {}));
}

TEST(ChatTemplate, KnowsWhatIsData) {
  const OrderedJson chat = {message("user", "hi <b>"), message("assistant", "yes <s>")};
  EXPECT_EQ(marked("{% for m in messages %}<{{ m.role }}>{{ m.content }}|{% endfor %}", chat),
            "<[user]>[hi <b>]|<[assistant]>[yes <s>]|");
  EXPECT_EQ(marked(kKeeps, OrderedJson::array({message("assistant", "<think>a</think>b")})),
            "(<think>[a]</think>[b])");
  // Through every operation on text.
  const std::pair<const char*, const char*> cases[] = {
      {"{{ '<' + c + '>' }}", "<[hi <b>]>"},
      {"{{ '<' ~ c[3:] ~ 1 }}", "<[<b>]1"},
      {"{{ ('  ' + c + 'x ')|trim }}", "[hi <b>]x"},
      {"{{ (c + '-')|upper }}", "[HI <B>]-"},
      {"{{ ('a,' + c).split(',')[1] }}", "[hi <b>]"},
      {"{{ c|replace('hi', 'ho') }}", "ho[ <b>]"},
      {"{{ 'xhix'|replace('hi', c) }}", "x[hi <b>]x"},
      {"{{ c.split()|join('+') }}", "[hi]+[<b>]"},
      {"{{ [c]|tojson }}", "[\"[hi <b>]\"]"},
      {"{{ [c] }}", "['[hi <b>]']"},
      {"{{ (c ~ 'z')|reverse }}", "z[>b< ih]"},
      {"{{ c|escape }}", "[hi &lt;b&gt;]"},
      {"{{ c * 2 }}", "[hi <b>hi <b>]"},
      {"{{ c.center(8, '*') }}", "*[hi <b>]*"},
      {"{{ c|indent(2, true) }}", "  [hi <b>]"},
      {"{{ c|length }}", "6"},
      {"{{ c[0] }}{{ c|last }}{{ c|list|first }}", "[h>h]"},
      {"{% set x %}<{{ c }}>{% endset %}{{ x }}", "<[hi <b>]>"},
      {"{% macro f(a) %}{{ a }}!{% endmacro %}{{ f(c) }}", "[hi <b>]!"},
  };
  for (const auto& [source, expected] : cases) {
    EXPECT_EQ(marked(std::string("{% set c = messages[0].content %}") + source, chat), expected)
        << source;
  }
}

TEST(ChatTemplate, ToolsAndVariablesAreData) {
  ChatTemplateOptions options;
  options.bos_token = "<s>";
  options.tools = OrderedJson::array({"<t>"});
  options.variables = {{"date", "<d>"}};
  EXPECT_EQ(marked(ChatTemplate::parse("{{ bos_token }}{{ tools[0] }} {{ date }}", "test")
                       .render(OrderedJson::array(), options)),
            "<s>[<t>] [<d>]");
}

// --- thinking ---

TEST(ChatTemplate, DropsThinkingThatTheTemplateWouldKeep) {
  const OrderedJson chat = {message("user", "a</think>b"),
                            message("assistant", "<think>\nhm</think>\n\nc"), message("user", "d")};
  const ChatTemplate keeps = ChatTemplate::parse(kKeeps, "test");
  EXPECT_EQ(keeps.render(chat, {}).text, "(a</think>b)(\n\nc)(d)");
  ChatTemplateOptions exact;
  exact.drop_thinking = false;
  EXPECT_EQ(keeps.render(chat, exact).text, "(a</think>b)(<think>\nhm</think>\n\nc)(d)");
  // The last turn, which the model is to go on with, keeps its thinking.
  EXPECT_EQ(keeps.render(OrderedJson::array({message("assistant", "<think>x</think>y")}), {}).text,
            "(<think>x</think>y)");
  // A template that takes the thinking out by itself is left to it: it may also strip.
  const ChatTemplate drops = ChatTemplate::parse(
      "{% for m in messages %}({{ m.content.split('</think>')[-1]|trim }}){% endfor %}", "test");
  EXPECT_EQ(drops.render(chat, {}).text, "(b)(c)(d)");
}

TEST(ChatTemplate, DeepSeekR1) {
  const fs::path file = kPublished / "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja";
  if (!fs::is_regular_file(file)) GTEST_SKIP() << file << " is not there";
  const ChatTemplate r1 = ChatTemplate::parse(read_file(file), file.string());
  ChatTemplateOptions options;
  options.bos_token = "<｜begin▁of▁sentence｜>";
  const OrderedJson chat = {message("user", "One?"),
                            message("assistant", "<think>\nhm\n</think>\n\nOne."),
                            message("user", "Two?")};
  const std::string text = r1.render(chat, options).text;
  EXPECT_TRUE(opens_thinking(text));
  EXPECT_EQ(text,
            "<｜begin▁of▁sentence｜><｜User｜>One?<｜Assistant｜>\n\nOne.<｜end▁of▁sentence｜>"
            "<｜User｜>Two?<｜Assistant｜><think>\n");
}

// --- a model's files ---

TEST(ChatTemplate, OfFiles) {
  auto text = [](const std::map<std::string, std::string>& files) {
    const auto t = ChatTemplate::of_files(files, "m");
    return t ? t->source() : "none";
  };
  EXPECT_EQ(text({}), "none");
  EXPECT_EQ(text({{"tokenizer_config.json", "{}"}}), "none");
  const std::string one = R"({"chat_template": "b"})";
  EXPECT_EQ(text({{"tokenizer_config.json", one}}), "b");
  EXPECT_EQ(text({{"tokenizer_config.json", one}, {"chat_template.jinja", "a"}}), "a");
  EXPECT_EQ(text({{"tokenizer_config.json",
                   R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                         {"name": "default", "template": "d"}]})"}}),
            "d");
  EXPECT_THROW(text({{"tokenizer_config.json", R"({"chat_template": 7})"}}), InputError);
  EXPECT_THROW(text({{"tokenizer_config.json", R"({"chat_template": []})"}}), InputError);
  EXPECT_THROW(text({{"tokenizer_config.json", "[]"}}), InputError);
}

TEST(ChatTemplate, SpecialTexts) {
  const SpecialTexts texts = special_texts(
      {{"tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})"}},
      "m");
  EXPECT_EQ(texts.bos_token, "<s>");
  EXPECT_EQ(texts.eos_token, "</s>");
  EXPECT_EQ(special_texts({}, "m").bos_token, "");
}

}  // namespace
}  // namespace r1
