// Methods of strings, dicts and lists, and the attributes of `loop`.
#include <utf8proc.h>

#include <algorithm>

#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/strings.h"
#include "text/unicode.h"

namespace r1::jinja {
namespace {

using Method = Value (*)(Interpreter&, const Value&, Arguments&);

Value list_of(std::vector<Text> texts) {
  List out;
  for (Text& text : texts) out.push_back(Value::string(std::move(text)));
  return Value::list(std::move(out));
}

// --- str ---

template <Side kSide>
Value strip_method(Interpreter& in, const Value& v, Arguments& args) {
  const auto chars = args.string("chars");
  args.finish();
  in.spend(v.bytes().size());
  return Value::string(strip(v.text(), chars, kSide, in.budget()));
}

template <bool kRight>
Value split_method(Interpreter& in, const Value& v, Arguments& args) {
  const auto separator = args.string("sep");
  const int64_t most = args.integer("maxsplit", -1);
  args.finish();
  return list_of(split(v.text(), separator, most, kRight, in.budget()));
}

Value splitlines(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  in.spend(v.bytes().size());
  return list_of(split_lines(v.text(), in.budget()));
}

template <bool kRight>
Value partition(Interpreter& in, const Value& v, Arguments& args) {
  const Text separator = args.text("sep");
  args.finish();
  const auto parts = split(v.text(), separator.bytes, 1, kRight, in.budget());
  const Value empty = Value::string("");
  List out;
  if (parts.size() == 2) {
    out = {Value::string(parts[0]), Value::string(separator), Value::string(parts[1])};
  } else if (kRight) {
    out = {empty, empty, v};
  } else {
    out = {v, empty, empty};
  }
  return Value::sequence(Sequence::Type::kTuple, std::move(out));
}

template <Case kCase>
Value case_method(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  return Value::string(change_case(v.text(), kCase, in.budget()));
}

// The part of a string that start and end name.
Value part(Interpreter& in, const Value& v, Arguments& args) {
  const Value start = args.optional("start", Value::none()),
              end = args.optional("end", Value::none());
  args.finish();
  if (start.is(Kind::kNone) && end.is(Kind::kNone)) return v;
  return slice_of(v, start, end, Value::none(), in.budget());
}

template <bool kEnd>
Value affix(Interpreter& in, const Value& v, Arguments& args) {
  const Value affixes = args.required("prefix");
  const Value text = part(in, v, args);
  const bool several = affixes.is_sequence(Sequence::Type::kTuple);
  if (!several && !affixes.is(Kind::kString)) {
    throw TemplateError(args.function + "() expects a string or a tuple of strings, not " +
                        affixes.type_name());
  }
  const List all = several ? affixes.seq().items : List{affixes};
  return Value::boolean(std::any_of(all.begin(), all.end(), [&](const Value& a) {
    if (!a.is(Kind::kString)) throw TemplateError(args.function + "() expects strings");
    return kEnd ? text.bytes().ends_with(a.bytes()) : text.bytes().starts_with(a.bytes());
  }));
}

template <bool kEnd>
Value remove_affix(Interpreter& in, const Value& v, Arguments& args) {
  const Text affix = args.text("affix");
  args.finish();
  in.spend(v.bytes().size());
  const bool there = kEnd ? v.bytes().ends_with(affix.bytes) : v.bytes().starts_with(affix.bytes);
  if (!there) return v;
  const size_t rest = v.bytes().size() - affix.size();
  return Value::string(v.text().substr(kEnd ? 0 : affix.size(), rest));
}

Value replace_method(Interpreter& in, const Value& v, Arguments& args) {
  const Text from = args.text("old"), to = args.text("new");
  const int64_t most = args.integer("count", -1);
  args.finish();
  return Value::string(replace(v.text(), from.bytes, to, most, in.budget()));
}

// The code point where `what` stands in part of the string, or -1.
template <bool kLast>
int64_t position(Interpreter& in, const Value& v, Arguments& args) {
  const Text what = args.text("sub");
  const Value start = args.optional("start", Value::none()),
              end = args.optional("end", Value::none());
  args.finish();
  const auto begins = v.text().code_points(in.budget());
  const int64_t size = static_cast<int64_t>(begins.size()) - 1;
  auto bound = [&](const Value& b, int64_t otherwise) {
    if (!b.is_integer()) return otherwise;
    return std::clamp<int64_t>(b.as_int() < 0 ? b.as_int() + size : b.as_int(), 0, size);
  };
  const int64_t first = bound(start, 0), last = bound(end, size);
  if (first > last || (start.is_integer() && start.as_int() > size)) return -1;
  const size_t from = begins[static_cast<size_t>(first)], to = begins[static_cast<size_t>(last)];
  const std::string_view within = std::string_view(v.bytes()).substr(from, to - from);
  const size_t at = kLast ? find_last_text(within, what.bytes, in.budget())
                          : find_text(within, what.bytes, 0, in.budget());
  if (at == std::string_view::npos) return -1;
  return std::lower_bound(begins.begin(), begins.end(), from + at) - begins.begin();
}

template <bool kLast, bool kMust>
Value position_of(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t at = position<kLast>(in, v, args);
  if (kMust && at < 0) throw TemplateError("substring not found");
  return Value::integer(at);
}

Value count_text(Interpreter& in, const Value& v, Arguments& args) {
  const Text what = args.text("sub");
  const Value text = part(in, v, args);
  if (what.bytes.empty()) return Value::integer(length(text, in.budget()) + 1);
  const auto pieces = split(text.text(), what.bytes, -1, false, in.budget());
  return Value::integer(static_cast<int64_t>(pieces.size()) - 1);
}

Value join_method(Interpreter& in, const Value& v, Arguments& args) {
  const Value items = args.required("iterable");
  args.finish();
  std::vector<Text> parts;
  for (const Value& item : iterate(items, in.budget())) {
    if (!item.is(Kind::kString)) {
      throw TemplateError("join: expected a string, came " + item.type_name());
    }
    parts.push_back(item.text());
  }
  return Value::string(join(v.text(), parts, in.budget()));
}

// Pads to a width: kSide is the side that the text stands on.
template <Side kSide>
Value pad(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t width = args.integer("width", 0);
  const Text fill = args.optional("fillchar", Value::string(" ")).text();
  args.finish();
  const int64_t room = std::max<int64_t>(0, width - length(v, in.budget()));
  const int64_t left = kSide == Side::kLeft    ? 0
                       : kSide == Side::kRight ? room
                                               : room / 2 + (room & width & 1);
  Text out = repeat(fill, left, in.budget());
  out.append(v.text());
  out.append(repeat(fill, room - left, in.budget()));
  return Value::string(std::move(out));
}

Value zfill(Interpreter& in, const Value& v, Arguments& args) {
  const int64_t room = std::max<int64_t>(0, args.integer("width", 0) - length(v, in.budget()));
  args.finish();
  const size_t sign = v.bytes().starts_with('-') || v.bytes().starts_with('+') ? 1 : 0;
  Text out = v.text().substr(0, sign);
  out.append(repeat(Text("0"), room, in.budget()));
  out.append(v.text().substr(sign));
  return Value::string(std::move(out));
}

enum class Is { kAlpha, kDigit, kDecimal, kAlnum, kSpace, kUpper, kLower };

bool is_in(Is what, char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  const bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
  switch (what) {
    case Is::kAlpha:
      return letter;
    case Is::kDigit:
    case Is::kDecimal:
      return category == UTF8PROC_CATEGORY_ND;
    case Is::kAlnum:
      return letter || is_numeric(c);
    default:
      return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
  }
}

template <Is kIs>
Value is_all(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  in.spend(16 * v.bytes().size());
  bool some = false;
  for (size_t at = 0; at < v.bytes().size();) {
    const Utf8Step step = utf8_step(std::string_view(v.bytes()).substr(at));
    at += step.size;
    if (kIs == Is::kUpper || kIs == Is::kLower) {
      const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(step.code_point));
      const bool upper = category == UTF8PROC_CATEGORY_LU, lower = category == UTF8PROC_CATEGORY_LL;
      if ((kIs == Is::kUpper ? lower : upper) || category == UTF8PROC_CATEGORY_LT) {
        return Value::boolean(false);
      }
      some = some || upper || lower;
    } else {
      if (!is_in(kIs, step.code_point)) return Value::boolean(false);
      some = true;
    }
  }
  return Value::boolean(some);
}

// --- dict, list and tuple ---

template <bool kKey, bool kValue>
Value view(Interpreter& in, const Value& v, Arguments& args) {
  args.finish();
  List out;
  for (const auto& [key, value] : v.as_dict().items) {
    in.spend(64);
    out.push_back(kKey && kValue ? Value::sequence(Sequence::Type::kTuple, {key, value})
                  : kKey         ? key
                                 : value);
  }
  return Value::sequence(Sequence::Type::kView, std::move(out));
}

Value get(Interpreter& in, const Value& v, Arguments& args) {
  const Value key = args.required("key"), otherwise = args.optional("default", Value::none());
  args.finish();
  const Value* found = find(v.as_dict(), key, in.budget());
  return found ? *found : otherwise;
}

Value copy(Interpreter&, const Value& v, Arguments& args) {
  args.finish();
  return v;  // nothing can change it
}

Value index_of(Interpreter& in, const Value& v, Arguments& args) {
  const Value what = args.required("value");
  args.finish();
  const List& items = v.seq().items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], what, in.budget())) return Value::integer(static_cast<int64_t>(i));
  }
  throw TemplateError("the value is not in the " + v.type_name());
}

Value count_of(Interpreter& in, const Value& v, Arguments& args) {
  const Value what = args.required("value");
  args.finish();
  const List& items = v.seq().items;
  return Value::integer(std::count_if(items.begin(), items.end(), [&](const Value& item) {
    return equal(item, what, in.budget());
  }));
}

Value refuse(Interpreter&, const Value&, Arguments& args) {
  throw TemplateError("." + args.function + "() is not available in chat templates");
}

struct Row {
  std::string_view name;
  Method method;
};

constexpr Row kStringMethods[] = {
    {"capitalize", case_method<Case::kCapitalize>},
    {"center", pad<Side::kBoth>},
    {"count", count_text},
    {"encode", refuse},
    {"endswith", affix<true>},
    {"find", position_of<false, false>},
    {"format", refuse},
    {"format_map", refuse},
    {"index", position_of<false, true>},
    {"isalnum", is_all<Is::kAlnum>},
    {"isalpha", is_all<Is::kAlpha>},
    {"isdecimal", is_all<Is::kDecimal>},
    {"isdigit", is_all<Is::kDigit>},
    {"islower", is_all<Is::kLower>},
    {"isspace", is_all<Is::kSpace>},
    {"isupper", is_all<Is::kUpper>},
    {"join", join_method},
    {"ljust", pad<Side::kLeft>},
    {"lower", case_method<Case::kLower>},
    {"lstrip", strip_method<Side::kLeft>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace_method},
    {"rfind", position_of<true, false>},
    {"rindex", position_of<true, true>},
    {"rjust", pad<Side::kRight>},
    {"rpartition", partition<true>},
    {"rsplit", split_method<true>},
    {"rstrip", strip_method<Side::kRight>},
    {"split", split_method<false>},
    {"splitlines", splitlines},
    {"startswith", affix<false>},
    {"strip", strip_method<Side::kBoth>},
    {"swapcase", case_method<Case::kSwap>},
    {"title", case_method<Case::kTitle>},
    {"upper", case_method<Case::kUpper>},
    {"zfill", zfill},
};

constexpr Row kDictMethods[] = {
    {"clear", refuse},
    {"copy", copy},
    {"fromkeys", refuse},
    {"get", get},
    {"items", view<true, true>},
    {"keys", view<true, false>},
    {"pop", refuse},
    {"popitem", refuse},
    {"setdefault", refuse},
    {"update", refuse},
    {"values", view<false, true>},
};

constexpr Row kListMethods[] = {
    {"append", refuse}, {"clear", refuse},   {"copy", copy},     {"count", count_of},
    {"extend", refuse}, {"index", index_of}, {"insert", refuse}, {"pop", refuse},
    {"remove", refuse}, {"reverse", refuse}, {"sort", refuse},
};

constexpr Row kTupleMethods[] = {{"count", count_of}, {"index", index_of}};

// --- loop ---

Value cycle(Interpreter&, const Value& v, Arguments& args) {
  if (args.positional.empty()) throw TemplateError("no items for cycling given");
  return args.positional[v.loop().index % args.positional.size()];
}

Value changed(Interpreter& in, const Value& v, Arguments& args) {
  Loop& loop = v.loop();
  const bool same =
      loop.changed_called && loop.changed.size() == args.positional.size() &&
      std::equal(loop.changed.begin(), loop.changed.end(), args.positional.begin(),
                 [&](const Value& a, const Value& b) { return equal(a, b, in.budget()); });
  for (const Value& given : args.positional) {
    if (given.is(Kind::kLoop)) throw TemplateError("loop.changed(loop) is not supported");
  }
  loop.changed = args.positional;
  loop.changed_called = true;
  return Value::boolean(!same);
}

constexpr Row kLoopMethods[] = {{"changed", changed}, {"cycle", cycle}};

Value loop_attribute(const Loop& loop, std::string_view name) {
  const int64_t index = static_cast<int64_t>(loop.index);
  const int64_t size = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(size - index);
  if (name == "revindex0") return Value::integer(size - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == size);
  if (name == "length") return Value::integer(size);
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem") {
    return index > 0 ? loop.items[loop.index - 1] : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < size ? loop.items[loop.index + 1]
                            : Value::undefined("there is no next item");
  }
  return {};
}

Value bind(const Value& object, const Row& row) {
  return Value::function(std::string(row.name),
                         [object, method = row.method](Interpreter& in, Arguments& args) {
                           return method(in, object, args);
                         });
}

}  // namespace

Value find_method(const Value& object, const std::string& name) {
  std::span<const Row> rows;
  if (object.is(Kind::kString)) rows = kStringMethods;
  if (object.is(Kind::kDict)) rows = kDictMethods;
  if (object.is_sequence(Sequence::Type::kList)) rows = kListMethods;
  if (object.is_sequence(Sequence::Type::kTuple)) rows = kTupleMethods;
  if (object.is(Kind::kLoop)) rows = kLoopMethods;
  for (const Row& row : rows) {
    if (row.name == name) return bind(object, row);
  }
  return object.is(Kind::kLoop) ? loop_attribute(object.loop(), name) : Value();
}

}  // namespace r1::jinja
