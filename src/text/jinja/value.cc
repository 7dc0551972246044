#include "text/jinja/value.h"

#include <algorithm>
#include <cstring>

#include "text/unicode.h"

namespace r1::jinja {
namespace {

constexpr int kMaxNesting = 400;

int depth_of(const Value& v) {
  if (v.is(Kind::kSequence)) return v.seq().depth;
  if (v.is(Kind::kDict)) return v.as_dict().depth;
  return 0;
}

// The depth of what holds `v`.
int depth_around(const Value& v) {
  if (v.is(Kind::kNamespace) || v.is(Kind::kLoop)) {
    throw TemplateError("a " + v.type_name() + " as an element of another value is not supported");
  }
  const int depth = depth_of(v) + 1;
  if (depth > kMaxNesting) {
    throw TemplateError("a value nested deeper than " + std::to_string(kMaxNesting));
  }
  return depth;
}

std::string operands(const char* op, const Value& a, const Value& b) {
  return "'" + std::string(op) + "' not supported between instances of '" + a.type_name() +
         "' and '" + b.type_name() + "'";
}

bool same_sequence_type(const Value& a, const Value& b) {
  return a.is(Kind::kSequence) && b.is(Kind::kSequence) && a.seq().type == b.seq().type;
}

bool equal_dicts(const Dict& a, const Dict& b, Budget& budget) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = find(b, key, budget);
    if (!other || !equal(value, *other, budget)) return false;
  }
  return true;
}

}  // namespace

void Budget::spend(size_t work) {
  if (work > static_cast<uint64_t>(left_)) {
    throw TemplateError("the template takes too much work; is it a loop that grows without end?");
  }
  left_ -= static_cast<int64_t>(work);
}

void Text::append(const Text& text) {
  bytes += text.bytes;
  marks += text.marks;
}

void Text::append(std::string_view text, char mark) {
  bytes += text;
  marks.append(text.size(), mark);
}

Text Text::substr(size_t begin, size_t count) const {
  Text out;
  out.bytes = bytes.substr(begin, count);
  out.marks = marks.substr(begin, count);
  return out;
}

std::vector<size_t> Text::code_points(Budget& budget) const {
  budget.spend(8 * size());
  std::vector<size_t> begins;
  begins.reserve(size() + 1);
  for (size_t at = 0; at < size(); at += utf8_step(std::string_view(bytes).substr(at)).size) {
    begins.push_back(at);
  }
  begins.push_back(size());
  return begins;
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value Value::undefined(std::string why) {
  Value v;
  v.data_ = Undefined{std::make_shared<const std::string>(std::move(why))};
  return v;
}

Value Value::none() {
  Value v;
  v.data_ = std::monostate{};
  return v;
}

Value Value::boolean(bool b) {
  Value v;
  v.data_ = b;
  return v;
}

Value Value::integer(int64_t i) {
  Value v;
  v.data_ = i;
  return v;
}

Value Value::real(double d) {
  Value v;
  v.data_ = d;
  return v;
}

Value Value::string(Text text, bool safe) {
  Value v;
  v.data_ = std::make_shared<const String>(String{std::move(text), safe});
  return v;
}

Value Value::sequence(Sequence::Type type, List items) {
  auto s = std::make_shared<Sequence>();
  s->type = type;
  for (const Value& item : items) s->depth = std::max(s->depth, depth_around(item));
  s->items = std::move(items);
  Value v;
  v.data_ = std::move(s);
  return v;
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  auto d = std::make_shared<Dict>();
  for (const auto& [key, value] : items) {
    d->depth = std::max({d->depth, depth_around(key), depth_around(value)});
  }
  d->items = std::move(items);
  Value v;
  v.data_ = std::shared_ptr<const Dict>(std::move(d));
  return v;
}

Value Value::function(std::string name, std::function<Value(Interpreter&, Arguments&)> call) {
  Value v;
  v.data_ = std::make_shared<const Function>(Function{std::move(name), std::move(call)});
  return v;
}

Value Value::of(std::shared_ptr<Namespace> space) {
  Value v;
  v.data_ = std::move(space);
  return v;
}

Value Value::of(std::shared_ptr<Loop> loop) {
  Value v;
  v.data_ = std::move(loop);
  return v;
}

Value Value::from_json(const OrderedJson& json, char mark, Budget& budget) {
  budget.spend(16);
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return boolean(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return integer(json.get<int64_t>());
    case OrderedJson::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
        throw TemplateError("the integer " + json.dump() + " is beyond 64 bits");
      }
      return integer(json.get<int64_t>());
    case OrderedJson::value_t::number_float:
      return real(json.get<double>());
    case OrderedJson::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      budget.spend(text.size());
      return string(Text(is_utf8(text) ? text : to_utf8_lossy(text), mark));
    }
    case OrderedJson::value_t::array: {
      List items;
      for (const auto& item : json) items.push_back(from_json(item, mark, budget));
      return list(std::move(items));
    }
    case OrderedJson::value_t::object: {
      std::vector<std::pair<Value, Value>> items;
      for (const auto& [key, value] : json.items()) {
        items.emplace_back(from_json(key, mark, budget), from_json(value, mark, budget));
      }
      return dict(std::move(items));
    }
    default:
      return none();
  }
}

bool Value::is_sequence(Sequence::Type type) const {
  return is(Kind::kSequence) && seq().type == type;
}

bool Value::is_safe() const {
  return is(Kind::kString) && std::get<std::shared_ptr<const String>>(data_)->safe;
}

const std::string& Value::why_undefined() const {
  static const std::string kNameless = "the value is undefined";
  const auto& why = std::get<Undefined>(data_).why;
  return why ? *why : kNameless;
}

int64_t Value::as_int() const {
  return is(Kind::kBool) ? as_bool() : std::get<int64_t>(data_);
}

double Value::as_real() const {
  return is(Kind::kFloat) ? std::get<double>(data_) : static_cast<double>(as_int());
}

const Text& Value::text() const {
  return std::get<std::shared_ptr<const String>>(data_)->text;
}

bool Value::truth() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return as_int() != 0;
    case Kind::kFloat:
      return as_real() != 0;
    case Kind::kString:
      return !bytes().empty();
    case Kind::kSequence:
      return seq().type == Sequence::Type::kGenerator || !seq().items.empty();
    case Kind::kDict:
      return !as_dict().items.empty();
    default:
      return true;
  }
}

std::string Value::type_name() const {
  constexpr const char* kSequences[] = {"list", "tuple", "range", "dict_view", "generator"};
  constexpr const char* kNames[] = {"Undefined", "NoneType",    "bool",    "int",
                                    "float",     "str",         "",        "dict",
                                    "namespace", "LoopContext", "function"};
  if (is(Kind::kSequence)) return kSequences[static_cast<size_t>(seq().type)];
  return is_safe() ? "Markup" : kNames[data_.index()];
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInt:
      return as_int() == other.as_int();
    case Kind::kFloat:
      return as_real() == other.as_real();
    case Kind::kString:
      return bytes() == other.bytes();
    case Kind::kSequence:
      return &seq() == &other.seq();
    case Kind::kDict:
      return &as_dict() == &other.as_dict();
    case Kind::kNamespace:
      return &space() == &other.space();
    case Kind::kLoop:
      return &loop() == &other.loop();
    case Kind::kFunction:
      return &callable() == &other.callable();
  }
  return false;
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.spend(4);
  if (a.is_integer() && b.is_integer()) return a.as_int() == b.as_int();
  if (a.is_number() && b.is_number()) return a.as_real() == b.as_real();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.bytes().size() != b.bytes().size()) return false;
      budget.spend(a.bytes().size() / 8);
      return a.bytes() == b.bytes();
    case Kind::kSequence: {
      if (a.same_as(b)) return true;
      if (!same_sequence_type(a, b) || a.is_sequence(Sequence::Type::kGenerator)) return false;
      const List &x = a.seq().items, &y = b.seq().items;
      return x.size() == y.size() &&
             std::equal(x.begin(), x.end(), y.begin(),
                        [&](const Value& p, const Value& q) { return equal(p, q, budget); });
    }
    case Kind::kDict:
      return a.same_as(b) || equal_dicts(a.as_dict(), b.as_dict(), budget);
    default:
      return a.same_as(b);
  }
}

bool less(const Value& a, const Value& b, Budget& budget) {
  budget.spend(4);
  if (a.is_integer() && b.is_integer()) return a.as_int() < b.as_int();
  if (a.is_number() && b.is_number()) return a.as_real() < b.as_real();
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    budget.spend(std::min(a.bytes().size(), b.bytes().size()) / 8);
    return a.bytes() < b.bytes();  // UTF-8 sorts as its code points do
  }
  const bool ordered =
      a.is_sequence(Sequence::Type::kList) || a.is_sequence(Sequence::Type::kTuple);
  if (!ordered || !same_sequence_type(a, b)) {
    if (a.is(Kind::kUndefined)) throw TemplateError(a.why_undefined());
    if (b.is(Kind::kUndefined)) throw TemplateError(b.why_undefined());
    throw TemplateError(operands("<", a, b));
  }
  const List &x = a.seq().items, &y = b.seq().items;
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (!equal(x[i], y[i], budget)) return less(x[i], y[i], budget);
  }
  return x.size() < y.size();
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  switch (container.kind()) {
    case Kind::kString:
      if (!item.is(Kind::kString)) {
        throw TemplateError("'in <string>' requires string as left operand, not " +
                            item.type_name());
      }
      return find_text(container.bytes(), item.bytes(), 0, budget) != std::string::npos;
    case Kind::kDict:
      return find(container.as_dict(), item, budget) != nullptr;
    case Kind::kUndefined:
      return false;
    case Kind::kSequence: {
      const List items = iterate(container, budget);
      return std::any_of(items.begin(), items.end(),
                         [&](const Value& v) { return equal(v, item, budget); });
    }
    default:
      throw TemplateError("argument of type '" + container.type_name() + "' is not iterable");
  }
}

const Value* find(const Dict& dict, const Value& key, Budget& budget) {
  for (const auto& [k, value] : dict.items) {
    if (equal(k, key, budget)) return &value;
  }
  return nullptr;
}

const Value* find(const Dict& dict, std::string_view key) {
  for (const auto& [k, value] : dict.items) {
    if (k.is(Kind::kString) && k.bytes() == key) return &value;
  }
  return nullptr;
}

List iterate(const Value& value, Budget& budget) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kString: {
      List out;
      const auto begins = value.text().code_points(budget);
      budget.spend(64 * begins.size());
      for (size_t i = 0; i + 1 < begins.size(); ++i) {
        out.push_back(Value::string(value.text().substr(begins[i], begins[i + 1] - begins[i])));
      }
      return out;
    }
    case Kind::kSequence: {
      Sequence& s = value.seq();
      budget.spend(16 * (s.items.size() - s.next));
      List out(s.items.begin() + static_cast<std::ptrdiff_t>(s.next), s.items.end());
      if (s.type == Sequence::Type::kGenerator) s.next = s.items.size();
      return out;
    }
    case Kind::kDict: {
      List out;
      budget.spend(16 * value.as_dict().items.size());
      for (const auto& item : value.as_dict().items) out.push_back(item.first);
      return out;
    }
    default:
      throw TemplateError("'" + value.type_name() + "' object is not iterable");
  }
}

int64_t length(const Value& value, Budget& budget) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      budget.spend(value.bytes().size());
      return std::count_if(value.bytes().begin(), value.bytes().end(),
                           [](char c) { return (c & 0xC0) != 0x80; });
    case Kind::kDict:
      return static_cast<int64_t>(value.as_dict().items.size());
    case Kind::kSequence:
      if (value.seq().type != Sequence::Type::kGenerator) {
        return static_cast<int64_t>(value.seq().items.size());
      }
      [[fallthrough]];
    default:
      throw TemplateError("object of type '" + value.type_name() + "' has no len()");
  }
}

size_t find_text(std::string_view text, std::string_view what, size_t from, Budget& budget) {
  const std::string_view rest = text.substr(from);
  // The two-way algorithm; std::string_view::find is quadratic in bad cases.
  const void* at = ::memmem(rest.data(), rest.size(), what.data(), what.size());
  budget.spend(16 + what.size() + (at ? 0 : rest.size()));
  if (!at) return text.npos;
  const auto found = static_cast<size_t>(static_cast<const char*>(at) - text.data());
  budget.spend(found - from);
  return found;
}

size_t find_last_text(std::string_view text, std::string_view what, Budget& budget) {
  if (what.empty()) return text.size();
  size_t last = text.npos;
  for (size_t at = find_text(text, what, 0, budget); at != text.npos;
       at = find_text(text, what, at + 1, budget)) {
    last = at;
  }
  return last;
}

}  // namespace r1::jinja
