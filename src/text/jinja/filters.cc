// Jinja's filters of sequences, and those that take filters and tests by name.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/strings.h"

namespace r1::jinja {
namespace {

Value generator(List items) {
  return Value::sequence(Sequence::Type::kGenerator, std::move(items));
}

// Strings without their case, where sorting and comparing ignore it.
Value without_case(Interpreter& in, const Value& v, bool case_sensitive) {
  if (case_sensitive || !v.is(Kind::kString)) return v;
  return Value::string(change_case(v.text(), Case::kLower, in.budget()));
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
      rows.back().keys.push_back(without_case(in, in.at_path(item, path), case_sensitive));
    }
  }
  sort_keyed(rows, reversed, in.budget());
  return items_of(std::move(rows));
}

Value dictsort(Interpreter& in, const Value& v, Arguments& args) {
  const bool case_sensitive = args.truth("case_sensitive", false);
  const auto by = args.string("by").value_or("key");
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
    const Value key = without_case(in, in.at_path(item, attribute), case_sensitive);
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
    const Value key = without_case(in, in.at_path(item, attribute), case_sensitive);
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
      out.push_back(in.at_path(std::move(item), attribute, fallback));
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
    const Value what = in.at_path(item, attribute);
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

constexpr Row kSequenceFilters[] = {
    {"attr", attr},
    {"batch", batch},
    {"count", count},
    {"d", default_filter},
    {"default", default_filter},
    {"dictsort", dictsort},
    {"first", first},
    {"items", items},
    {"last", last},
    {"length", count},
    {"list", list},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"reverse", reverse},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"slice", slice},
    {"sort", sort},
    {"unique", unique},
};

}  // namespace

Filter find_filter(std::string_view name) {
  for (const Row& row : kSequenceFilters) {
    if (row.name == name) return row.filter;
  }
  return find_text_filter(name);
}

}  // namespace r1::jinja
