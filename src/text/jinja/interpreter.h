// Runs a template's tree. Names are looked up as Jinja does: loops, macros, with and block bodies
// have scopes of their own, if has none.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/parser.h"
#include "text/jinja/value.h"

namespace r1::jinja {

using Variables = std::vector<std::pair<std::string, Value>>;

struct Limits {
  int64_t work = int64_t{1} << 27;  // see Budget: 128 MiB made, or a second or so
  size_t output_bytes = size_t{32} << 20;
  int depth = 1000;  // of nodes being run, through macros too; Python's own limit on calls
};

// What a function, filter or test was called with. Each parameter is asked for once, in the order
// of its Python signature; finish() then refuses what nobody asked for.
struct Arguments {
  std::string function;
  List positional;
  Variables named;

  const Value* optional(std::string_view name);
  Value optional(std::string_view name, Value otherwise);
  Value required(std::string_view name);
  int64_t integer(std::string_view name, int64_t otherwise);
  bool truth(std::string_view name, bool otherwise);
  Text text(std::string_view name);                          // required
  std::optional<std::string> string(std::string_view name);  // None counts as not given
  void finish() const;

 private:
  size_t next_ = 0;
};

class Interpreter {
 public:
  explicit Interpreter(const Limits& limits) : limits_(limits), budget_(limits.work) {}

  // The text of a template over variables. TemplateError; line() then says where.
  Text run(const std::vector<NodePtr>& body, const Variables& variables);
  int line() const { return line_; }

  Budget& budget() { return budget_; }
  void spend(size_t work) { budget_.spend(work); }

  // What filters that call others need.
  Value filter(const std::string& name, const Value& value, Arguments arguments);
  bool test(const std::string& name, const Value& value, Arguments arguments);
  // object.name and object[key].
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  // object.a.0.b for the path "a.0.b", object[2] for 2, the object for None. `otherwise`, if it is
  // not null, stands for what is undefined on the way.
  Value at_path(Value object, const Value& path, const Value* otherwise = nullptr);
  Text text_of(const Value& value);  // str()

 private:
  enum class Flow { kNext, kBreak, kContinue };
  struct Scope {
    Scope* parent = nullptr;
    Variables variables;
    bool captured = false;  // a macro was defined in it, and may outlive it
  };
  using Body = std::vector<NodePtr>;

  // A scope for the time of a block; kept to the end of the run where a macro needs it.
  class Scoped;
  // Counts the nodes being run.
  class Nested;

  Flow execute(const Body& body, Scope& scope);
  Flow execute(const Node& node, Scope& scope);
  Flow execute_for(const Node& node, Scope& scope);
  Flow captured(const Body& body, Scope& scope, Text& text);
  void define(Scope& scope, const std::string& name, Value value);
  void assign(const Node& target, Value value, Scope& scope);
  void output(const Text& text);
  Value make_macro(const Node& node, std::string name, Scope& scope);
  Value call_macro(const Node& node, Scope& scope, Arguments& arguments);

  Value evaluate(const Node& node, Scope& scope);
  Value name(const Node& node, const Scope& scope);
  Value unary(const Node& node, Scope& scope);
  Value binary(const Node& node, Scope& scope);
  Value compare(const Node& node, Scope& scope);
  Value concatenate(const Node& node, Scope& scope);
  Value slice(const Node& node, Scope& scope);
  Value call(const Node& node, Scope& scope, const Value* caller);
  Value dict(const Node& node, Scope& scope);
  Value filter_block(const Node& node, Value value, Scope& scope);
  Arguments arguments(const Node& node, std::string function, size_t first, Scope& scope);

  const Limits limits_;
  Budget budget_;
  int line_ = 0, depth_ = 0;
  Text* out_ = nullptr;
  std::deque<std::unique_ptr<Scope>> kept_;
};

// --- what the interpreter knows by name; null where it knows no such name ---

using Filter = Value (*)(Interpreter&, const Value&, Arguments&);
using Test = bool (*)(Interpreter&, const Value&, Arguments&);

Filter find_filter(std::string_view name);       // the next one's too
Filter find_text_filter(std::string_view name);  // of text and numbers
Test find_test(std::string_view name);
// Functions every template sees: range, dict, namespace, raise_exception, strftime_now.
const Value* find_global(std::string_view name);
// A method of strings, lists and dicts, bound to its object; undefined where there is none.
Value find_method(const Value& object, const std::string& name);

// a + b and so on, with Python's meaning.
Value arithmetic(const std::string& op, const Value& a, const Value& b, Budget& budget);
Value slice_of(const Value& object, const Value& begin, const Value& end, const Value& step,
               Budget& budget);

}  // namespace r1::jinja
