// The values of a chat template, with Python's meaning wherever a template can see it: integers and
// floats are apart, strings count in code points, dicts keep their order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"

namespace r1::jinja {

// What went wrong while a template ran. The interpreter adds file and line.
struct TemplateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What a run may cost: each byte or item that is made or looked at, and each node evaluated. Bounds
// time and memory of any template over any messages.
class Budget {
 public:
  explicit Budget(int64_t work) : left_(work) {}
  void spend(size_t work);

 private:
  int64_t left_;
};

// UTF-8 in which each byte knows its origin: the template's, or data that came from outside.
struct Text {
  static constexpr char kTemplate = 0, kData = 1;

  std::string bytes, marks;  // of one size

  Text() = default;
  explicit Text(std::string_view text, char mark = kTemplate)
      : bytes(text), marks(text.size(), mark) {}
  size_t size() const { return bytes.size(); }
  void append(const Text& text);
  void append(std::string_view text, char mark = kTemplate);
  Text substr(size_t begin, size_t count = std::string::npos) const;
  // Bytes where each code point begins, and then size().
  std::vector<size_t> code_points(Budget& budget) const;
};

class Value;
class Interpreter;
struct Arguments;
using List = std::vector<Value>;

enum class Kind {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kSequence,
  kDict,
  kNamespace,
  kLoop,
  kFunction
};

// Immutable but for a generator's `next`. Views are what dict.items() gives: they have a length and
// no elements to ask for. A generator runs once.
struct Sequence {
  enum class Type { kList, kTuple, kRange, kView, kGenerator };
  Type type = Type::kList;
  List items;
  int depth = 1;    // of nesting; bounds every recursion over values
  size_t next = 0;  // of a generator
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
};

// namespace(): the one thing that templates may change.
struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
};

// `loop` within a for.
struct Loop {
  List items;
  size_t index = 0;
  List changed;  // what loop.changed was last given
  bool changed_called = false;
};

struct Function {
  std::string name;
  std::function<Value(Interpreter&, Arguments&)> call;
};

class Value {
 public:
  Value() = default;  // undefined, nameless
  static Value undefined(std::string why);
  static Value none();
  static Value boolean(bool b);
  static Value integer(int64_t i);
  static Value real(double d);
  static Value string(Text text, bool safe = false);
  static Value string(std::string_view text) { return string(Text(text)); }
  // TemplateError if the nesting is too deep, or an item is a namespace or a loop (no cycles).
  static Value sequence(Sequence::Type type, List items);
  static Value list(List items) { return sequence(Sequence::Type::kList, std::move(items)); }
  static Value dict(std::vector<std::pair<Value, Value>> items);
  static Value function(std::string name, std::function<Value(Interpreter&, Arguments&)> call);
  static Value of(std::shared_ptr<Namespace> space);
  static Value of(std::shared_ptr<Loop> loop);
  // All of the JSON's strings, keys included, carry `mark`.
  static Value from_json(const OrderedJson& json, char mark, Budget& budget);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_number() const { return is(Kind::kBool) || is(Kind::kInt) || is(Kind::kFloat); }
  bool is_integer() const { return is(Kind::kBool) || is(Kind::kInt); }
  bool is_sequence(Sequence::Type type) const;
  // Of a string: made by the filters safe and escape (Python's Markup).
  bool is_safe() const;

  const std::string& why_undefined() const;
  bool as_bool() const { return std::get<bool>(data_); }
  int64_t as_int() const;  // of is_integer
  double as_real() const;  // of is_number
  const Text& text() const;
  const std::string& bytes() const { return text().bytes; }
  Sequence& seq() const { return *std::get<std::shared_ptr<Sequence>>(data_); }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Namespace& space() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(data_); }
  const Function& callable() const { return *std::get<std::shared_ptr<const Function>>(data_); }

  bool truth() const;
  // As Python names it: "str", "int", "NoneType".
  std::string type_name() const;
  // Whether both are the same object; numbers and strings count as the same where they are equal.
  bool same_as(const Value& other) const;

 private:
  struct String {
    Text text;
    bool safe;
  };
  struct Undefined {
    std::shared_ptr<const std::string> why;
  };
  // In the order of Kind.
  std::variant<Undefined, std::monostate, bool, int64_t, double, std::shared_ptr<const String>,
               std::shared_ptr<Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<Loop>, std::shared_ptr<const Function>>
      data_;
};

// Python's == ; never fails.
bool equal(const Value& a, const Value& b, Budget& budget);
// Python's < ; TemplateError where the two cannot be ordered.
bool less(const Value& a, const Value& b, Budget& budget);
// Python's `item in container`.
bool contains(const Value& container, const Value& item, Budget& budget);
// The value of a key, or null.
const Value* find(const Dict& dict, const Value& key, Budget& budget);
const Value* find(const Dict& dict, std::string_view key);

// What a for loop runs over. TemplateError if the value cannot be iterated; a generator is spent.
List iterate(const Value& value, Budget& budget);
// len(); TemplateError where there is none.
int64_t length(const Value& value, Budget& budget);

// The first or last place of `what` in `text` at or after `from`, or npos. Linear time.
size_t find_text(std::string_view text, std::string_view what, size_t from, Budget& budget);
size_t find_last_text(std::string_view text, std::string_view what, Budget& budget);

}  // namespace r1::jinja
