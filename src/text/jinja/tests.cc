// What follows `is`.
#include <algorithm>

#include "text/jinja/interpreter.h"

namespace r1::jinja {
namespace {

Value argument(Arguments& args) {
  Value v = args.required("other");
  args.finish();
  return v;
}

// A test that takes nothing.
template <bool (*kHolds)(const Value&)>
bool plain(Interpreter&, const Value& v, Arguments& args) {
  args.finish();
  return kHolds(v);
}

bool defined(const Value& v) {
  return !v.is(Kind::kUndefined);
}
bool undefined(const Value& v) {
  return v.is(Kind::kUndefined);
}
bool none(const Value& v) {
  return v.is(Kind::kNone);
}
bool boolean(const Value& v) {
  return v.is(Kind::kBool);
}
bool is_true(const Value& v) {
  return v.is(Kind::kBool) && v.as_bool();
}
bool is_false(const Value& v) {
  return v.is(Kind::kBool) && !v.as_bool();
}
bool integer(const Value& v) {
  return v.is(Kind::kInt);
}
bool real(const Value& v) {
  return v.is(Kind::kFloat);
}
bool number(const Value& v) {
  return v.is_number();
}
bool string(const Value& v) {
  return v.is(Kind::kString);
}
bool mapping(const Value& v) {
  return v.is(Kind::kDict);
}
bool callable(const Value& v) {
  return v.is(Kind::kFunction);
}
bool escaped(const Value& v) {
  return v.is_safe();
}

bool sequence(const Value& v) {
  if (v.is(Kind::kSequence)) {
    return !v.is_sequence(Sequence::Type::kView) && !v.is_sequence(Sequence::Type::kGenerator);
  }
  return v.is(Kind::kString) || v.is(Kind::kDict) || v.is(Kind::kUndefined);
}

bool iterable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kString) || v.is(Kind::kSequence) ||
         v.is(Kind::kDict) || v.is(Kind::kLoop);
}

int64_t modulo(const Value& v, const Value& by, Budget& budget) {
  const Value rest = arithmetic("%", v, by, budget);
  return rest.is_integer() ? rest.as_int() : rest.as_real() == 0 ? 0 : rest.as_real() == 1 ? 1 : 2;
}

bool odd(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return modulo(v, Value::integer(2), in.budget()) == 1;
}
bool even(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return modulo(v, Value::integer(2), in.budget()) == 0;
}
bool divisible_by(Interpreter& in, const Value& v, Arguments& args) {
  return modulo(v, argument(args), in.budget()) == 0;
}

bool equal_to(Interpreter& in, const Value& v, Arguments& args) {
  return equal(v, argument(args), in.budget());
}
bool not_equal(Interpreter& in, const Value& v, Arguments& args) {
  return !equal(v, argument(args), in.budget());
}
bool less_than(Interpreter& in, const Value& v, Arguments& args) {
  return less(v, argument(args), in.budget());
}
bool greater_than(Interpreter& in, const Value& v, Arguments& args) {
  return less(argument(args), v, in.budget());
}
bool at_most(Interpreter& in, const Value& v, Arguments& args) {
  const Value other = argument(args);
  return less(v, other, in.budget()) || equal(v, other, in.budget());
}
bool at_least(Interpreter& in, const Value& v, Arguments& args) {
  const Value other = argument(args);
  return less(other, v, in.budget()) || equal(v, other, in.budget());
}
bool within(Interpreter& in, const Value& v, Arguments& args) {
  return contains(argument(args), v, in.budget());
}
bool same_as(Interpreter&, const Value& v, Arguments& args) {
  return v.same_as(argument(args));
}

template <bool kUpper>
bool has_case(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  const Value method = find_method(Value::string(in.text_of(v)), kUpper ? "isupper" : "islower");
  Arguments nothing;
  return method.callable().call(in, nothing).truth();
}

bool is_filter(Interpreter&, const Value& v, Arguments& args) {
  args.finish();
  return v.is(Kind::kString) && find_filter(v.bytes()) != nullptr;
}
bool is_test(Interpreter&, const Value& v, Arguments& args) {
  args.finish();
  return v.is(Kind::kString) && find_test(v.bytes()) != nullptr;
}

struct Row {
  std::string_view name;
  Test test;
};

constexpr Row kTests[] = {
    {"!=", not_equal},
    {"<", less_than},
    {"<=", at_most},
    {"==", equal_to},
    {">", greater_than},
    {">=", at_least},
    {"boolean", plain<boolean>},
    {"callable", plain<callable>},
    {"defined", plain<defined>},
    {"divisibleby", divisible_by},
    {"eq", equal_to},
    {"equalto", equal_to},
    {"escaped", plain<escaped>},
    {"even", even},
    {"false", plain<is_false>},
    {"filter", is_filter},
    {"float", plain<real>},
    {"ge", at_least},
    {"greaterthan", greater_than},
    {"gt", greater_than},
    {"in", within},
    {"integer", plain<integer>},
    {"iterable", plain<iterable>},
    {"le", at_most},
    {"lessthan", less_than},
    {"lower", has_case<false>},
    {"lt", less_than},
    {"mapping", plain<mapping>},
    {"ne", not_equal},
    {"none", plain<none>},
    {"number", plain<number>},
    {"odd", odd},
    {"sameas", same_as},
    {"sequence", plain<sequence>},
    {"string", plain<string>},
    {"test", is_test},
    {"true", plain<is_true>},
    {"undefined", plain<undefined>},
    {"upper", has_case<true>},
};

}  // namespace

Test find_test(std::string_view name) {
  for (const Row& row : kTests) {
    if (row.name == name) return row.test;
  }
  return nullptr;
}

}  // namespace r1::jinja
