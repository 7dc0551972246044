// Jinja's filters of text and numbers, and transformers' tojson.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "text/jinja/format.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/strings.h"

namespace r1::jinja {
namespace {

Value trim(Interpreter& in, const Value& v, Arguments& args) {
  const auto chars = args.string("chars");
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
    parts.push_back(in.text_of(in.at_path(item, attribute)));
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
  const auto method = args.string("method").value_or("common");
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
    total = arithmetic("+", total, in.at_path(item, attribute), in.budget());
  }
  return total;
}

struct Row {
  std::string_view name;
  Filter filter;
};

constexpr Row kTextFilters[] = {
    {"abs", absolute},
    {"capitalize", cased<Case::kCapitalize>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"float", to_float},
    {"indent", indent},
    {"int", to_int},
    {"join", join_filter},
    {"lower", cased<Case::kLower>},
    {"replace", replace_filter},
    {"round", round},
    {"safe", safe},
    {"string", string},
    {"sum", sum},
    {"title", title},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", cased<Case::kUpper>},
    {"wordcount", word_count},
};

}  // namespace

Filter find_text_filter(std::string_view name) {
  for (const Row& row : kTextFilters) {
    if (row.name == name) return row.filter;
  }
  return nullptr;
}

}  // namespace r1::jinja
