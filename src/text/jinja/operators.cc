// Arithmetic, slices, and what is asked of an object by name or index.
#include <algorithm>
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/strings.h"

namespace r1::jinja {
namespace {

[[noreturn]] void refuse(const std::string& op, const Value& a, const Value& b) {
  throw TemplateError("unsupported operand types for " + op + ": '" + a.type_name() + "' and '" +
                      b.type_name() + "'");
}

[[noreturn]] void too_large() {
  throw TemplateError("the result is an integer beyond 64 bits");
}

void check_divisor(bool zero) {
  if (zero) throw TemplateError("division by zero");
}

Value integer_power(int64_t base, int64_t exponent, Budget& budget) {
  if (exponent < 0) {
    check_divisor(base == 0);
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1);
  for (int64_t i = 0; i < exponent; ++i) {
    budget.spend(1);
    if (__builtin_mul_overflow(result, base, &result)) too_large();
  }
  return Value::integer(result);
}

Value integer_arithmetic(const std::string& op, int64_t a, int64_t b, Budget& budget) {
  int64_t result = 0;
  if (op == "+") {
    if (__builtin_add_overflow(a, b, &result)) too_large();
  } else if (op == "-") {
    if (__builtin_sub_overflow(a, b, &result)) too_large();
  } else if (op == "*") {
    if (__builtin_mul_overflow(a, b, &result)) too_large();
  } else if (op == "**") {
    return integer_power(a, b, budget);
  } else {
    check_divisor(b == 0);
    if (op == "/") return Value::real(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) return op == "//" ? integer_arithmetic("-", 0, a, budget) : Value::integer(0);
    const bool down = a % b != 0 && (a % b < 0) != (b < 0);  // rounds to minus infinity
    result = op == "//" ? a / b - (down ? 1 : 0) : a % b + (down ? b : 0);
  }
  return Value::integer(result);
}

Value real_arithmetic(const std::string& op, double a, double b) {
  if (op == "+") return Value::real(a + b);
  if (op == "-") return Value::real(a - b);
  if (op == "*") return Value::real(a * b);
  if (op == "**") {
    if (a < 0 && b != std::floor(b)) throw TemplateError("complex numbers are not supported");
    check_divisor(a == 0 && b < 0);
    return Value::real(std::pow(a, b));
  }
  check_divisor(b == 0);
  if (op == "/") return Value::real(a / b);
  // As CPython: the remainder is exact and has the divisor's sign.
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (rest == 0) rest = std::copysign(0.0, b);
  if (op == "%") return Value::real(rest);
  if (quotient == 0) return Value::real(std::copysign(0.0, a / b));
  const double floored = std::floor(quotient);
  return Value::real(quotient - floored > 0.5 ? floored + 1 : floored);
}

Value add_strings(const Value& a, const Value& b, Budget& budget) {
  budget.spend(a.bytes().size() + b.bytes().size());
  const bool safe = a.is_safe() || b.is_safe();  // Markup escapes what it is added to
  Text text = safe && !a.is_safe() ? escape_html(a.text(), budget) : a.text();
  text.append(safe && !b.is_safe() ? escape_html(b.text(), budget) : b.text());
  return Value::string(std::move(text), safe);
}

Value repeat_items(const Value& sequence, int64_t times, Budget& budget) {
  List items;
  for (int64_t i = 0; i < times && !sequence.seq().items.empty(); ++i) {
    budget.spend(32 * sequence.seq().items.size());
    items.insert(items.end(), sequence.seq().items.begin(), sequence.seq().items.end());
  }
  return Value::sequence(sequence.seq().type, std::move(items));
}

bool is_list_or_tuple(const Value& v) {
  return v.is_sequence(Sequence::Type::kList) || v.is_sequence(Sequence::Type::kTuple);
}

// A bound of a slice; nothing where there is none.
bool bound(const Value& v, int64_t& out) {
  if (v.is(Kind::kNone)) return false;
  if (!v.is_integer()) throw TemplateError("slice indices must be integers or None");
  out = v.as_int();
  return true;
}

}  // namespace

Value arithmetic(const std::string& op, const Value& a, const Value& b, Budget& budget) {
  if (a.is(Kind::kUndefined)) throw TemplateError(a.why_undefined());
  if (b.is(Kind::kUndefined)) throw TemplateError(b.why_undefined());
  if (a.is_integer() && b.is_integer()) {
    return integer_arithmetic(op, a.as_int(), b.as_int(), budget);
  }
  if (a.is_number() && b.is_number()) return real_arithmetic(op, a.as_real(), b.as_real());
  if (op == "+" && a.is(Kind::kString) && b.is(Kind::kString)) return add_strings(a, b, budget);
  if (op == "+" && is_list_or_tuple(a) && is_list_or_tuple(b) && a.seq().type == b.seq().type) {
    budget.spend(32 * (a.seq().items.size() + b.seq().items.size()));
    List items = a.seq().items;
    items.insert(items.end(), b.seq().items.begin(), b.seq().items.end());
    return Value::sequence(a.seq().type, std::move(items));
  }
  if (op == "*" && b.is_integer()) {
    if (a.is(Kind::kString))
      return Value::string(repeat(a.text(), b.as_int(), budget), a.is_safe());
    if (is_list_or_tuple(a)) return repeat_items(a, b.as_int(), budget);
  }
  if (op == "*" && a.is_integer() && !b.is_number()) return arithmetic(op, b, a, budget);
  if (op == "%" && a.is(Kind::kString)) {
    throw TemplateError("formatting of strings with % is not supported");
  }
  if (op == "+" && a.is(Kind::kString)) {
    throw TemplateError("can only concatenate str (not \"" + b.type_name() + "\") to str");
  }
  refuse(op, a, b);
}

Value slice_of(const Value& object, const Value& begin, const Value& end, const Value& step,
               Budget& budget) {
  const bool sequence = is_list_or_tuple(object) || object.is_sequence(Sequence::Type::kRange);
  if (object.is(Kind::kUndefined)) throw TemplateError(object.why_undefined());
  if (!sequence && !object.is(Kind::kString)) {
    return Value::undefined(object.type_name() + " object cannot be sliced");
  }
  const std::vector<size_t> begins =
      sequence ? std::vector<size_t>{} : object.text().code_points(budget);
  budget.spend(16);
  const int64_t size = length(object, budget);
  int64_t by = 1, first = 0, last = 0;
  if (bound(step, by) && by == 0) throw TemplateError("slice step cannot be zero");
  const int64_t lowest = by > 0 ? 0 : -1, highest = by > 0 ? size : size - 1;
  auto clamped = [&](int64_t at) { return std::clamp(at < 0 ? at + size : at, lowest, highest); };
  first = bound(begin, first) ? clamped(first) : by > 0 ? 0 : size - 1;
  last = bound(end, last) ? clamped(last) : by > 0 ? size : -1;
  List items;
  Text text;
  if (!sequence && by == 1) {  // most slices: one piece
    const size_t from = begins[static_cast<size_t>(first)];
    const size_t to = begins[static_cast<size_t>(std::max(first, last))];
    return Value::string(object.text().substr(from, to - from));
  }
  for (int64_t at = first; by > 0 ? at < last : at > last;) {
    budget.spend(32);
    const size_t i = static_cast<size_t>(at);
    if (sequence) {
      items.push_back(object.seq().items[i]);
    } else {
      text.append(object.text().substr(begins[i], begins[i + 1] - begins[i]));
    }
    if (__builtin_add_overflow(at, by, &at)) break;
  }
  if (!sequence) return Value::string(std::move(text));
  return Value::sequence(object.seq().type, std::move(items));
}

Value Interpreter::attribute(const Value& object, const std::string& name) {
  switch (object.kind()) {
    case Kind::kUndefined:
      throw TemplateError(object.why_undefined());
    case Kind::kNamespace:
      if (const Value* value = object.space().find(name)) return *value;
      break;
    default:
      if (Value method = find_method(object, name); !method.is(Kind::kUndefined)) return method;
      if (object.is(Kind::kDict)) {
        if (const Value* value = find(object.as_dict(), name)) return *value;
      }
  }
  const bool none = object.is(Kind::kNone);
  return Value::undefined(none ? "'None' has no attribute '" + name + "'"
                               : "'" + object.type_name() + " object' has no attribute '" + name +
                                     "'");
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (object.is(Kind::kUndefined)) throw TemplateError(object.why_undefined());
  if (object.is(Kind::kDict)) {
    if (const Value* value = find(object.as_dict(), key, budget_)) return *value;
  } else if (key.is_integer() && (object.is(Kind::kString) || object.is(Kind::kSequence))) {
    const bool indexed =
        object.is(Kind::kString) || (!object.is_sequence(Sequence::Type::kGenerator) &&
                                     !object.is_sequence(Sequence::Type::kView));
    const int64_t size = indexed ? length(object, budget_) : 0;
    const int64_t at = key.as_int() < 0 ? key.as_int() + size : key.as_int();
    if (at >= 0 && at < size) {
      if (object.is(Kind::kSequence)) return object.seq().items[static_cast<size_t>(at)];
      const auto begins = object.text().code_points(budget_);
      const size_t begin = begins[static_cast<size_t>(at)];
      return Value::string(
          object.text().substr(begin, begins[static_cast<size_t>(at) + 1] - begin));
    }
  }
  if (key.is(Kind::kString)) return attribute(object, key.bytes());
  return Value::undefined(object.type_name() + " object has no element " +
                          to_text(key, budget_).bytes);
}

Value Interpreter::at_path(Value object, const Value& path, const Value* otherwise) {
  if (path.is_integer()) return item(object, path);
  if (!path.is(Kind::kString)) return object;
  for (const Text& part : split(path.text(), ".", -1, false, budget_)) {
    const bool digits =
        !part.bytes.empty() && part.bytes.find_first_not_of("0123456789") == std::string::npos;
    object = item(object, digits ? Value::integer(parse_int(part.bytes, 10).value_or(0))
                                 : Value::string(part));
    if (otherwise && object.is(Kind::kUndefined)) object = *otherwise;
  }
  return object;
}

}  // namespace r1::jinja
