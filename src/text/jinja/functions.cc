// The functions that every template sees.
#include <array>
#include <ctime>

#include "text/jinja/interpreter.h"
#include "text/unicode.h"

namespace r1::jinja {
namespace {

Value range(Interpreter& in, Arguments& args) {
  constexpr int64_t kMost = 100000;  // as jinja2's sandbox
  const int64_t a = args.integer("start", 0);
  const Value* second = args.optional("stop");
  const bool one = second == nullptr;
  const int64_t begin = one ? 0 : a;
  int64_t end = a;
  if (!one) {
    if (!second->is_integer()) throw TemplateError("range() expects integers");
    end = second->as_int();
  }
  const int64_t step = args.integer("step", 1);
  args.finish();
  if (step == 0) throw TemplateError("range() arg 3 must not be zero");
  List out;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (static_cast<int64_t>(out.size()) == kMost) {
      throw TemplateError("range() of more than " + std::to_string(kMost) + " numbers");
    }
    in.spend(32);
    out.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::sequence(Sequence::Type::kRange, std::move(out));
}

// dict(mapping or pairs, key=value, ...).
std::vector<std::pair<Value, Value>> dict_items(Interpreter& in, Arguments& args) {
  std::vector<std::pair<Value, Value>> out;
  auto set = [&](const Value& key, Value value) {
    for (auto& [known, old] : out) {
      if (!equal(known, key, in.budget())) continue;
      old = std::move(value);
      return;
    }
    in.spend(64);
    out.emplace_back(key, std::move(value));
  };
  Variables named = std::exchange(args.named, {});
  if (const Value* from = args.optional("mapping")) {
    if (from->is(Kind::kDict)) {
      for (const auto& [key, value] : from->as_dict().items) set(key, value);
    } else {
      for (const Value& pair : iterate(*from, in.budget())) {
        const List both = iterate(pair, in.budget());
        if (both.size() != 2) throw TemplateError("dict() expects pairs");
        set(both[0], both[1]);
      }
    }
  }
  args.finish();
  for (auto& [key, value] : named) set(Value::string(key), std::move(value));
  return out;
}

Value dict(Interpreter& in, Arguments& args) {
  return Value::dict(dict_items(in, args));
}

Value make_namespace(Interpreter& in, Arguments& args) {
  auto space = std::make_shared<Namespace>();
  for (auto& [key, value] : dict_items(in, args)) {
    if (!key.is(Kind::kString)) throw TemplateError("namespace() expects names");
    if (key.bytes().starts_with("_")) {
      throw TemplateError("cannot store the underscore-prefixed attribute " + key.bytes());
    }
    if (value.is(Kind::kNamespace) || value.is(Kind::kLoop)) {
      throw TemplateError("a " + value.type_name() + " within a namespace is not supported");
    }
    space->attributes.emplace_back(key.bytes(), std::move(value));
  }
  return Value::of(std::move(space));
}

Value raise_exception(Interpreter& in, Arguments& args) {
  const Value message = args.required("message");
  args.finish();
  throw TemplateError("the template refuses: " + in.text_of(message).bytes);
}

Value strftime_now(Interpreter& in, Arguments& args) {
  const Text format = in.text_of(args.required("format"));
  args.finish();
  if (format.size() > 256) throw TemplateError("strftime_now: a format of more than 256 bytes");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  std::array<char, 4096> out{};
  const size_t size = std::strftime(out.data(), out.size(), format.bytes.c_str(), &local);
  return Value::string(to_utf8_lossy({out.data(), size}));
}

}  // namespace

const Value* find_global(std::string_view name) {
  static const Variables kGlobals = {
      {"dict", Value::function("dict", dict)},
      {"namespace", Value::function("namespace", make_namespace)},
      {"raise_exception", Value::function("raise_exception", raise_exception)},
      {"range", Value::function("range", range)},
      {"strftime_now", Value::function("strftime_now", strftime_now)},
  };
  for (const auto& [known, value] : kGlobals) {
    if (known == name) return &value;
  }
  return nullptr;
}

}  // namespace r1::jinja
