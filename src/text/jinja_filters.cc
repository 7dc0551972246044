// Jinja's filters, and transformers' tojson.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "text/jinja_format.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_strings.h"

namespace r1::jinja {
namespace {

std::optional<std::string> optional_string(Arguments& args, const char* name) {
  const Value* given = args.optional(name);
  if (!given || given->is(Kind::kNone)) return std::nullopt;
  if (!given->is(Kind::kString)) {
    throw TemplateError(args.function + ": expected a string '" + name + "', not " +
                        given->type_name());
  }
  return given->bytes();
}

Value generator(List items) {
  return Value::sequence(Sequence::Type::kGenerator, std::move(items));
}

// Strings without their case, where sorting and comparing ignore it.
Value without_case(Interpreter& in, const Value& v, bool case_sensitive) {
  if (case_sensitive || !v.is(Kind::kString)) return v;
  return Value::string(change_case(v.text(), Case::kLower, in.budget()));
}

// item.a.0.b for "a.0.b".
Value attribute_path(Interpreter& in, Value item, const Value& path, const Value* otherwise) {
  if (path.is_integer()) return in.item(item, path);
  if (!path.is(Kind::kString)) return item;
  for (const Text& part : split(path.text(), ".", -1, false, in.budget())) {
    const bool digits =
        !part.bytes.empty() && part.bytes.find_first_not_of("0123456789") == std::string::npos;
    item = in.item(
        item, digits ? Value::integer(parse_int(part.bytes, 10).value_or(0)) : Value::string(part));
    if (otherwise && item.is(Kind::kUndefined)) item = *otherwise;
  }
  return item;
}

// --- text ---

Value trim(Interpreter& in, const Value& v, Arguments& args) {
  const auto chars = optional_string(args, "chars");
  args.finish();
  return Value::string(strip(in.text_of(v), chars, Side::kBoth, in.budget()), v.is_safe());
}

template <Case kCase>
Value cased(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return Value::string(change_case(in.text_of(v), kCase, in.budget()), v.is_safe());
}

Value title(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return Value::string(title_words(in.text_of(v), in.budget()), v.is_safe());
}

Value replace_filter(Interpreter& in, const Value& v, Arguments& args) {
  const Text from = in.text_of(args.required("old")), to = in.text_of(args.required("new"));
  const Value* count = args.optional("count");
  const int64_t most = count && count->is_integer() ? count->as_int() : -1;
  args.finish();
  return Value::string(replace(in.text_of(v), from.bytes, to, most, in.budget()));
}

Value join_filter(Interpreter& in, const Value& v, Arguments& args) {
  const Text separator = in.text_of(args.optional("d", Value::string("")));
  const Value attribute = args.optional("attribute", Value::none());
  args.finish();
  std::vector<Text> parts;
  for (const Value& item : iterate(v, in.budget())) {
    parts.push_back(in.text_of(attribute_path(in, item, attribute, nullptr)));
  }
  return Value::string(join(separator, parts, in.budget()));
}

Value indent(Interpreter& in, const Value& v, Arguments& args) {
  const Value width = args.optional("width", Value::integer(4));
  const bool first = args.truth("first", false), blank = args.truth("blank", false);
  args.finish();
  const Text by = width.is(Kind::kString)
                      ? width.text()
                      : repeat(Text(" "), width.is_integer() ? width.as_int() : 4, in.budget());
  Text text = in.text_of(v);
  text.append("\n");
  std::vector<Text> lines = split_lines(text, in.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == 0 ? !first : !blank && lines[i].size() == 0) continue;
    Text line = by;
    line.append(lines[i]);
    in.spend(line.size());
    lines[i] = std::move(line);
  }
  return Value::string(join(Text("\n"), lines, in.budget()));
}

Value truncate(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t most = args.integer("length", 255);
  const bool kill_words = args.truth("killwords", false);
  const Text end = in.text_of(args.optional("end", Value::string("...")));
  const int64_t leeway = args.integer("leeway", 5);
  args.finish();
  const Value text = Value::string(in.text_of(v)), none = Value::none();
  const int64_t room = most - length(Value::string(end), in.budget());
  if (room < 0) throw TemplateError("truncate: the length is smaller than the end's");
  if (length(text, in.budget()) <= most + leeway) return text;
  Text cut = slice_of(text, none, Value::integer(room), none, in.budget()).text();
  if (!kill_words) cut = split(cut, " ", 1, true, in.budget())[0];
  cut.append(end);
  return Value::string(std::move(cut));
}

Value word_count(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  int64_t words = 0;
  bool within = false;
  for (const char c : in.text_of(v).bytes) {
    const bool word = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || (c & 0x80);
    words += word && !within ? 1 : 0;
    within = word;
  }
  return Value::integer(words);
}

Value center(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t width = args.integer("width", 80);
  args.finish();
  const Value text = Value::string(in.text_of(v));
  const int64_t room = std::max<int64_t>(0, width - length(text, in.budget()));
  const int64_t left = room / 2 + (room & width & 1);
  Text out = repeat(Text(" "), left, in.budget());
  out.append(text.text());
  out.append(repeat(Text(" "), room - left, in.budget()));
  return Value::string(std::move(out));
}

Value escape(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return v.is_safe() ? v : Value::string(escape_html(in.text_of(v), in.budget()), true);
}

Value safe(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return Value::string(in.text_of(v), true);
}

Value string(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return v.is(Kind::kString) ? v : Value::string(in.text_of(v));
}

Value tojson(Interpreter& in, const Value& v, Arguments& args) {
  JsonStyle style;
  style.ensure_ascii = args.truth("ensure_ascii", false);
  if (const Value* by = args.optional("indent"); by && !by->is(Kind::kNone)) {
    if (!by->is_integer() && !by->is(Kind::kString)) throw TemplateError("tojson: odd indent");
    style.indent =
        by->is(Kind::kString) ? by->bytes() : repeat(Text(" "), by->as_int(), in.budget()).bytes;
    style.item_separator = ",";
  }
  if (const Value* pair = args.optional("separators"); pair && !pair->is(Kind::kNone)) {
    const List both = iterate(*pair, in.budget());
    if (both.size() != 2 || !both[0].is(Kind::kString) || !both[1].is(Kind::kString)) {
      throw TemplateError("tojson: expected two strings as separators");
    }
    style.item_separator = both[0].bytes();
    style.key_separator = both[1].bytes();
  }
  style.sort_keys = args.truth("sort_keys", false);
  args.finish();
  return Value::string(to_json(v, style, in.budget()));
}

// --- numbers ---

Value to_int(Interpreter&, const Value& v, Arguments& args) {
  const Value otherwise = args.optional("default", Value::integer(0));
  const int64_t base = args.integer("base", 10);
  args.finish();
  std::optional<double> real;
  if (v.is_integer()) return Value::integer(v.as_int());
  if (v.is(Kind::kFloat)) real = v.as_real();
  if (v.is(Kind::kString)) {
    if (const auto whole = parse_int(v.bytes(), base)) return Value::integer(*whole);
    real = parse_float(v.bytes());  // "42.23" is 42
  }
  if (!real || !std::isfinite(*real)) return otherwise;
  if (std::fabs(*real) >= 0x1p63) throw TemplateError("int: the number is beyond 64 bits");
  return Value::integer(static_cast<int64_t>(*real));
}

Value to_float(Interpreter&, const Value& v, Arguments& args) {
  const Value otherwise = args.optional("default", Value::real(0));
  args.finish();
  if (v.is_number()) return Value::real(v.as_real());
  const auto read = v.is(Kind::kString) ? parse_float(v.bytes()) : std::nullopt;
  return read ? Value::real(*read) : otherwise;
}

Value absolute(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  if (v.is(Kind::kFloat)) return Value::real(std::fabs(v.as_real()));
  if (!v.is_integer()) throw TemplateError("abs: expected a number, not " + v.type_name());
  if (v.as_int() >= 0) return Value::integer(v.as_int());
  return arithmetic("-", Value::integer(0), v, in.budget());
}

Value round(Interpreter&, const Value& v, Arguments& args) {
  const int64_t precision = args.integer("precision", 0);
  const auto method = optional_string(args, "method").value_or("common");
  args.finish();
  if (method != "common" && method != "ceil" && method != "floor") {
    throw TemplateError("round: method must be common, ceil or floor");
  }
  if (!v.is_number()) throw TemplateError("round: expected a number, not " + v.type_name());
  if (precision < 0 || precision > 300) throw TemplateError("round: precision must be 0 to 300");
  if (v.is_integer() && method == "common") return Value::integer(v.as_int());
  const double value = v.as_real();
  if (!std::isfinite(value)) return v;
  if (method == "common") {  // to even in the exact decimal expansion, as Python
    std::string text(static_cast<size_t>(precision) + 400, '\0');
    std::snprintf(text.data(), text.size(), "%.*f", static_cast<int>(precision), value);
    return Value::real(std::strtod(text.c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double whole = method == "ceil" ? std::ceil(value * scale) : std::floor(value * scale);
  return Value::real(whole / scale);
}

Value sum(Interpreter& in, const Value& v, Arguments& args) {
  const Value attribute = args.optional("attribute", Value::none());
  Value total = args.optional("start", Value::integer(0));
  args.finish();
  for (const Value& item : iterate(v, in.budget())) {
    total = arithmetic("+", total, attribute_path(in, item, attribute, nullptr), in.budget());
  }
  return total;
}

// --- sequences ---

Value count(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return Value::integer(length(v, in.budget()));
}

Value default_filter(Interpreter&, const Value& v, Arguments& args) {
  const Value otherwise = args.optional("default_value", Value::string(""));
  const bool boolean = args.truth("boolean", false);
  args.finish();
  return v.is(Kind::kUndefined) || (boolean && !v.truth()) ? otherwise : v;
}

Value first(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  if (v.is_sequence(Sequence::Type::kGenerator)) {
    Sequence& s = v.seq();
    if (s.next < s.items.size()) return s.items[s.next++];
  } else if (const List items = iterate(v, in.budget()); !items.empty()) {
    return items[0];
  }
  return Value::undefined("No first item, sequence was empty.");
}

Value last(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  if (v.is_sequence(Sequence::Type::kGenerator)) {
    throw TemplateError("last: a generator cannot be reversed; use |list before it");
  }
  const List items = iterate(v, in.budget());
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value list(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return Value::list(iterate(v, in.budget()));
}

Value items(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  if (v.is(Kind::kUndefined)) return generator({});
  if (!v.is(Kind::kDict)) throw TemplateError("Can only get item pairs from a mapping.");
  List out;
  for (const auto& [key, value] : v.as_dict().items) {
    in.spend(64);
    out.push_back(Value::sequence(Sequence::Type::kTuple, {key, value}));
  }
  return generator(std::move(out));
}

Value reverse(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  if (v.is(Kind::kString)) {
    return slice_of(v, Value::none(), Value::none(), Value::integer(-1), in.budget());
  }
  List out = iterate(v, in.budget());
  std::reverse(out.begin(), out.end());
  return v.is_sequence(Sequence::Type::kGenerator) ? Value::list(std::move(out))
                                                   : generator(std::move(out));
}

struct Keyed {
  List keys;
  Value item;
};

void sort_keyed(std::vector<Keyed>& rows, bool reversed, Budget& budget) {
  auto before = [&](const Keyed& a, const Keyed& b) {
    for (size_t i = 0; i < a.keys.size(); ++i) {
      if (!equal(a.keys[i], b.keys[i], budget)) return less(a.keys[i], b.keys[i], budget);
    }
    return false;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const Keyed& a, const Keyed& b) {
    return reversed ? before(b, a) : before(a, b);
  });
}

Value items_of(std::vector<Keyed> rows) {
  List out;
  for (Keyed& row : rows) out.push_back(std::move(row.item));
  return Value::list(std::move(out));
}

Value sort(Interpreter& in, const Value& v, Arguments& args) {
  const bool reversed = args.truth("reverse", false);
  const bool case_sensitive = args.truth("case_sensitive", false);
  const Value attribute = args.optional("attribute", Value::none());
  args.finish();
  List paths = {attribute};
  if (attribute.is(Kind::kString)) {
    paths.clear();
    for (Text& path : split(attribute.text(), ",", -1, false, in.budget())) {
      paths.push_back(Value::string(std::move(path)));
    }
  }
  std::vector<Keyed> rows;
  for (const Value& item : iterate(v, in.budget())) {
    rows.push_back({{}, item});
    for (const Value& path : paths) {
      rows.back().keys.push_back(
          without_case(in, attribute_path(in, item, path, nullptr), case_sensitive));
    }
  }
  sort_keyed(rows, reversed, in.budget());
  return items_of(std::move(rows));
}

Value dictsort(Interpreter& in, const Value& v, Arguments& args) {
  const bool case_sensitive = args.truth("case_sensitive", false);
  const auto by = optional_string(args, "by").value_or("key");
  const bool reversed = args.truth("reverse", false);
  args.finish();
  if (by != "key" && by != "value") {
    throw TemplateError("You can only sort by either \"key\" or \"value\"");
  }
  if (!v.is(Kind::kDict)) throw TemplateError("dictsort: expected a mapping");
  std::vector<Keyed> rows;
  for (const auto& [key, value] : v.as_dict().items) {
    in.spend(64);
    rows.push_back({{without_case(in, by == "key" ? key : value, case_sensitive)},
                    Value::sequence(Sequence::Type::kTuple, {key, value})});
  }
  sort_keyed(rows, reversed, in.budget());
  return items_of(std::move(rows));
}

Value unique(Interpreter& in, const Value& v, Arguments& args) {
  const bool case_sensitive = args.truth("case_sensitive", false);
  const Value attribute = args.optional("attribute", Value::none());
  args.finish();
  List keys, out;
  for (const Value& item : iterate(v, in.budget())) {
    const Value key =
        without_case(in, attribute_path(in, item, attribute, nullptr), case_sensitive);
    if (std::any_of(keys.begin(), keys.end(),
                    [&](const Value& known) { return equal(known, key, in.budget()); })) {
      continue;
    }
    keys.push_back(key);
    out.push_back(item);
  }
  return generator(std::move(out));
}

template <bool kLargest>
Value extreme(Interpreter& in, const Value& v, Arguments& args) {
  const bool case_sensitive = args.truth("case_sensitive", false);
  const Value attribute = args.optional("attribute", Value::none());
  args.finish();
  Value best = Value::undefined("No aggregated item, sequence was empty."), best_key;
  for (const Value& item : iterate(v, in.budget())) {
    const Value key =
        without_case(in, attribute_path(in, item, attribute, nullptr), case_sensitive);
    const bool better = best.is(Kind::kUndefined) || (kLargest ? less(best_key, key, in.budget())
                                                               : less(key, best_key, in.budget()));
    if (!better) continue;
    best = item;
    best_key = key;
  }
  return best;
}

Value batch(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t size = args.integer("linecount", 0);
  const Value fill = args.optional("fill_with", Value::none());
  args.finish();
  if (size < 1) throw TemplateError("batch: expected a size of 1 or more");
  List out, row;
  for (const Value& item : iterate(v, in.budget())) {
    row.push_back(item);
    if (static_cast<int64_t>(row.size()) < size) continue;
    out.push_back(Value::list(std::move(row)));
    row = {};
  }
  if (!row.empty()) {
    while (!fill.is(Kind::kNone) && static_cast<int64_t>(row.size()) < size) {
      in.spend(32);
      row.push_back(fill);
    }
    out.push_back(Value::list(std::move(row)));
  }
  return generator(std::move(out));
}

Value slice(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t slices = args.integer("slices", 0);
  const Value fill = args.optional("fill_with", Value::none());
  args.finish();
  if (slices < 1) throw TemplateError("slice: expected 1 slice or more");
  const List all = iterate(v, in.budget());
  const int64_t each = static_cast<int64_t>(all.size()) / slices;
  const int64_t longer = static_cast<int64_t>(all.size()) % slices;
  List out;
  for (int64_t i = 0, at = 0; i < slices; ++i) {
    in.spend(64);
    const int64_t end = at + each + (i < longer ? 1 : 0);
    List row(all.begin() + at, all.begin() + end);
    if (!fill.is(Kind::kNone) && i >= longer) row.push_back(fill);
    out.push_back(Value::list(std::move(row)));
    at = end;
  }
  return generator(std::move(out));
}

// --- filters that take filters and tests by name ---

std::string name_argument(Arguments& args) {
  const Value name = args.required("name");
  if (!name.is(Kind::kString)) throw TemplateError(args.function + ": expected a name");
  return name.bytes();
}

// The arguments that follow those already asked for.
Arguments rest(Arguments& args, const std::string& function) {
  Arguments out;
  out.function = function;
  while (const Value* v = args.optional("")) out.positional.push_back(*v);
  out.named = args.named;
  return out;
}

Value map(Interpreter& in, const Value& v, Arguments& args) {
  List out;
  if (args.positional.empty() && !args.named.empty()) {
    const Value attribute = args.required("attribute");
    const Value otherwise = args.optional("default", Value::none());
    args.finish();
    const Value* fallback = otherwise.is(Kind::kNone) ? nullptr : &otherwise;
    for (Value& item : iterate(v, in.budget())) {
      out.push_back(attribute_path(in, std::move(item), attribute, fallback));
    }
    return generator(std::move(out));
  }
  const std::string name = name_argument(args);
  const Arguments more = rest(args, name);
  for (const Value& item : iterate(v, in.budget())) out.push_back(in.filter(name, item, more));
  return generator(std::move(out));
}

template <bool kKeep, bool kAttribute>
Value select(Interpreter& in, const Value& v, Arguments& args) {
  const Value attribute = kAttribute ? args.required("attribute") : Value::none();
  const Value* given = args.optional("name");
  const std::string name = given ? to_text(*given, in.budget()).bytes : "";
  const Arguments more = rest(args, name);
  List out;
  for (const Value& item : iterate(v, in.budget())) {
    const Value what = attribute_path(in, item, attribute, nullptr);
    const bool holds = given ? in.test(name, what, more) : what.truth();
    if (holds == kKeep) out.push_back(item);
  }
  return generator(std::move(out));
}

Value attr(Interpreter& in, const Value& v, Arguments& args) {
  const std::string name = name_argument(args);
  args.finish();
  if (v.is(Kind::kDict) && find_method(v, name).is(Kind::kUndefined)) {
    return Value::undefined("'dict object' has no attribute '" + name + "'");
  }
  return in.attribute(v, name);
}

struct Row {
  std::string_view name;
  Filter filter;
};

constexpr Row kFilters[] = {
    {"abs", absolute},
    {"attr", attr},
    {"batch", batch},
    {"capitalize", cased<Case::kCapitalize>},
    {"center", center},
    {"count", count},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort},
    {"e", escape},
    {"escape", escape},
    {"first", first},
    {"float", to_float},
    {"indent", indent},
    {"int", to_int},
    {"items", items},
    {"join", join_filter},
    {"last", last},
    {"length", count},
    {"list", list},
    {"lower", cased<Case::kLower>},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"replace", replace_filter},
    {"reverse", reverse},
    {"round", round},
    {"safe", safe},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"slice", slice},
    {"sort", sort},
    {"string", string},
    {"sum", sum},
    {"title", title},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"unique", unique},
    {"upper", cased<Case::kUpper>},
    {"wordcount", word_count},
};

}  // namespace

Filter find_filter(std::string_view name) {
  for (const Row& row : kFilters) {
    if (row.name == name) return row.filter;
  }
  return nullptr;
}

}  // namespace r1::jinja
