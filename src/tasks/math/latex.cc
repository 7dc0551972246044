#include "tasks/math/latex.h"

#include <algorithm>
#include <array>
#include <utility>

namespace r1 {
namespace {

using Kind = MathTokenKind;
using Pair = std::pair<std::string_view, std::string_view>;

template <size_t N>
std::string_view look_up(const std::array<Pair, N>& table, std::string_view key) {
  for (const auto& [name, meaning] : table) {
    if (name == key) return meaning;
  }
  return {};
}

template <size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Commands that stand for an operator.
constexpr auto kOperatorCommands = std::to_array<Pair>({
    {"cdot", "*"},      {"times", "*"},     {"ast", "*"},    {"bullet", "*"},
    {"div", "/"},       {"pm", "+-"},       {"mp", "-+"},    {"le", "<="},
    {"leq", "<="},      {"leqslant", "<="}, {"ge", ">="},    {"geq", ">="},
    {"geqslant", ">="}, {"lt", "<"},        {"gt", ">"},     {"ne", "!="},
    {"neq", "!="},      {"approx", "~"},    {"simeq", "~"},  {"equiv", "=="},
    {"cup", "U"},       {"cap", "cap"},     {"in", "in"},    {"mid", "|"},
    {"vert", "|"},      {"lvert", "|"},     {"rvert", "|"},  {"circ", "deg"},
    {"degree", "deg"},  {"prime", "'"},     {"to", "->"},    {"rightarrow", "->"},
    {"lbrace", "\\{"},  {"rbrace", "\\}"},  {"langle", "("}, {"rangle", ")"},
    {"ldots", "..."},   {"cdots", "..."},   {"dots", "..."}, {"lbrack", "["},
    {"rbrack", "]"},    {"colon", ":"},     {"land", "and"}, {"lor", "or"},
});

constexpr auto kSymbolCommands = std::to_array<Pair>({
    {"infty", "oo"},
    {"emptyset", "empty"},
    {"varnothing", "empty"},
    {"oslash", "empty"},
    {"ell", "l"},
    {"varepsilon", "epsilon"},
    {"varphi", "phi"},
    {"vartheta", "theta"},
    {"R", "RR"},
});

constexpr auto kGreek = std::to_array<std::string_view>(
    {"alpha",   "beta",   "gamma", "delta", "epsilon", "zeta",  "eta",   "theta", "iota",
     "kappa",   "lambda", "mu",    "nu",    "xi",      "pi",    "rho",   "sigma", "tau",
     "upsilon", "phi",    "chi",   "psi",   "omega",   "Gamma", "Delta", "Theta", "Lambda",
     "Xi",      "Pi",     "Sigma", "Phi",   "Psi",     "Omega"});

constexpr auto kFunctions = std::to_array<std::string_view>(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "arccot", "arcsec",
     "arccsc", "sinh", "cosh", "tanh", "coth", "ln", "log", "exp"});

// Commands of layout: they mean nothing.
constexpr auto kLayout = std::to_array<std::string_view>(
    {"left",         "right",     "big",    "Big",        "bigg",   "Bigg",     "bigl",
     "bigr",         "Bigl",      "Bigr",   "biggl",      "biggr",  "Biggl",    "Biggr",
     "displaystyle", "textstyle", "quad",   "qquad",      "limits", "nolimits", "thinspace",
     "boxed",        "fbox",      "mathbf", "boldsymbol", "mathit", "mathcal",  "bm",
     "scriptstyle",  "middle",    "hline"});

// Commands whose argument is prose.
constexpr auto kRoman =
    std::to_array<std::string_view>({"text", "mathrm", "textbf", "textit", "textrm", "mbox",
                                     "operatorname", "texttt", "mathsf", "textsf", "rm"});

constexpr auto kCharacters = std::to_array<Pair>({
    {"\xE2\x88\x92", "-"},
    {"\xE2\x80\x93", "-"},
    {"\xC3\x97", "*"},
    {"\xC2\xB7", "*"},
    {"\xE2\x8B\x85", "*"},
    {"\xC3\xB7", "/"},
    {"\xE2\x88\x9A", "\\sqrt "},
    {"\xCF\x80", "\\pi "},
    {"\xE2\x88\x9E", "\\infty "},
    {"\xE2\x89\xA4", "\\le "},
    {"\xE2\x89\xA5", "\\ge "},
    {"\xE2\x89\xA0", "\\ne "},
    {"\xE2\x89\x88", "\\approx "},
    {"\xC2\xB1", "\\pm "},
    {"\xC2\xB0", "\\circ "},
    {"\xC2\xB2", "^2"},
    {"\xC2\xB3", "^3"},
    {"\xC2\xBD", "\\frac{1}{2}"},
    {"\xC2\xBC", "\\frac{1}{4}"},
    {"\xC2\xBE", "\\frac{3}{4}"},
    {"\xE2\x88\xAA", "\\cup "},
    {"\xE2\x88\xA9", "\\cap "},
    {"\xE2\x88\x85", "\\emptyset "},
    {"\xE2\x88\x88", "\\in "},
    {"\xE2\x84\x9D", "\\R "},
    {"\xCE\xB8", "\\theta "},
    {"\xCE\xB1", "\\alpha "},
    {"\xCE\xB2", "\\beta "},
    {"\xCE\xBB", "\\lambda "},
    {"\xC2\xA0", " "},
    {"\xE2\x80\x89", " "},
    {"\xE2\x80\xAF", " "},
    {"\xE2\x80\x99", "'"},
    {"\xE2\x82\xAC", "\\$"},
    {"\xC2\xA3", "\\$"},
    {"\xE2\x86\x92", "\\to "},
});

constexpr auto kUnits = std::to_array<Pair>({
    {"hours", "hr"},     {"hour", "hr"},     {"hr", "hr"},          {"hrs", "hr"},
    {"minutes", "min"},  {"minute", "min"},  {"min", "min"},        {"mins", "min"},
    {"seconds", "s"},    {"second", "s"},    {"sec", "s"},          {"secs", "s"},
    {"feet", "ft"},      {"foot", "ft"},     {"ft", "ft"},          {"inches", "in"},
    {"inch", "in"},      {"in", "in"},       {"miles", "mi"},       {"mile", "mi"},
    {"mi", "mi"},        {"yards", "yd"},    {"yard", "yd"},        {"yd", "yd"},
    {"meters", "m"},     {"meter", "m"},     {"metres", "m"},       {"kilometers", "km"},
    {"kilometer", "km"}, {"km", "km"},       {"centimeters", "cm"}, {"centimeter", "cm"},
    {"cm", "cm"},        {"mm", "mm"},       {"millimeters", "mm"}, {"kilograms", "kg"},
    {"kilogram", "kg"},  {"kg", "kg"},       {"grams", "g"},        {"gram", "g"},
    {"mg", "mg"},        {"pounds", "lb"},   {"pound", "lb"},       {"lb", "lb"},
    {"lbs", "lb"},       {"ounces", "oz"},   {"ounce", "oz"},       {"oz", "oz"},
    {"liters", "L"},     {"liter", "L"},     {"ml", "ml"},          {"mph", "mph"},
    {"kmh", "kmh"},      {"dollars", "$"},   {"dollar", "$"},       {"cents", "cent"},
    {"cent", "cent"},    {"percent", "%"},   {"degrees", "deg"},    {"degree", "deg"},
    {"days", "day"},     {"day", "day"},     {"weeks", "week"},     {"week", "week"},
    {"years", "year"},   {"year", "year"},   {"months", "month"},   {"month", "month"},
    {"units", ""},       {"unit", ""},       {"square", "sq"},      {"cubic", "cubic"},
    {"rad", "rad"},      {"radians", "rad"}, {"per", "/"},
});

// Short words that are no products of variables.
constexpr auto kShortWords = std::to_array<std::string_view>(
    {"yes", "no", "not", "all", "any", "one", "two", "six", "ten", "odd", "max", "min",
     "is",  "if", "at",  "on",  "of",  "to",  "the", "for", "are", "has", "dne", "pt",
     "pts", "or", "and", "AM",  "PM",  "am",  "pm",  "us",  "it",  "we",  "by",  "as"});

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// Bytes of characters that are not ASCII count as letters.
bool is_wordly(char c) {
  return is_letter(c) || static_cast<unsigned char>(c) >= 0x80;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {
    size_t dollars = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == '$')
        ++dollars;
    }
    currency_ = dollars % 2 == 1;  // else they come in pairs and delimit mathematics
  }

  std::vector<MathToken> run() {
    while (at_ < text_.size()) step();
    return std::move(out_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  void emit(Kind kind, std::string text) {
    out_.push_back({kind, std::move(text), space_, roman_depth_ > 0});
    space_ = false;
  }
  bool last_is(std::string_view op) const { return !out_.empty() && out_.back().is(op); }

  void step() {
    const char c = peek();
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '~' || c == '\0') {
      space_ = true;
      ++at_;
    } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
      number();
    } else if (c == '\\') {
      command();
    } else if (is_letter(c)) {
      word();
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      character();
    } else {
      punctuation();
    }
  }

  void number() {
    const size_t begin = at_;
    if (is_bare_argument()) {
      ++at_;
    } else {
      digits();
      const bool repeats = text_.substr(at_).starts_with(".\\overline");
      if (peek() == '.' && (is_digit(peek(1)) || repeats)) {
        ++at_;
        digits();
      }
      const size_t sign = peek(1) == '-' || peek(1) == '+' ? 2 : 1;
      if ((peek() == 'e' || peek() == 'E') && is_digit(peek(sign))) {
        at_ += sign;
        digits();
      }
    }
    emit(Kind::kNumber, std::string(text_.substr(begin, at_ - begin)));
  }

  // TeX takes one digit where an argument has no braces: \frac12.
  bool is_bare_argument() const {
    const size_t n = out_.size();
    if (n == 0) return false;
    return out_[n - 1].is_command("frac") ||
           (n > 1 && out_[n - 1].kind == Kind::kNumber && out_[n - 2].is_command("frac"));
  }

  void digits() {
    while (is_digit(peek())) ++at_;
  }

  void word() {
    const size_t begin = at_;
    while (is_wordly(peek())) {
      if (static_cast<unsigned char>(peek()) >= 0x80 && mapped().first.size() > 0) break;
      ++at_;
    }
    const std::string_view run = text_.substr(begin, at_ - begin);
    const std::string small = lower(run);
    const bool roman = roman_depth_ > 0;
    if (small == "and" || small == "or") {
      emit(Kind::kOperator, small);
    } else if (contains(kFunctions, run) && !(roman && run == "sec")) {
      emit(Kind::kFunction, std::string(run));
    } else if (run == "sqrt") {
      emit(Kind::kCommand, "sqrt");
    } else if (run == "pi") {
      emit(Kind::kSymbol, "pi");
    } else if (small == "infinity" || run == "inf") {
      emit(Kind::kSymbol, "oo");
    } else if (run == "U" && (last_is(")") || last_is("]") || last_is("\\}"))) {
      emit(Kind::kOperator, "U");
    } else if (run.size() == 1 || (!roman && run.size() < 4 && !contains(kShortWords, run) &&
                                   !contains(kShortWords, small) && known_unit(run).empty())) {
      for (const char c : run) emit(Kind::kSymbol, std::string(1, c));
    } else {
      emit(Kind::kWord, std::string(run));
    }
  }

  Pair mapped() const {
    for (const Pair& p : kCharacters) {
      if (text_.substr(at_).starts_with(p.first)) return p;
    }
    return {};
  }

  void character() {
    const Pair p = mapped();
    if (p.first.empty()) {
      const size_t begin = at_;
      do ++at_;
      while (is_wordly(peek()) && mapped().first.empty());
      emit(Kind::kWord, std::string(text_.substr(begin, at_ - begin)));
      return;
    }
    at_ += p.first.size();
    for (MathToken& t : Lexer(p.second).run()) {
      t.space = t.space || std::exchange(space_, false);
      out_.push_back(std::move(t));
    }
    if (p.second == " ") space_ = true;
  }

  void punctuation() {
    static constexpr auto kTwo = std::to_array<Pair>(
        {{"<=", "<="}, {">=", ">="}, {"!=", "!="}, {"->", "->"}, {"**", "^"}, {"==", "="}});
    const std::string_view two = look_up(kTwo, text_.substr(at_, 2));
    const char c = text_[at_];
    if (text_.substr(at_).starts_with("...")) {
      at_ += 3;
      emit(Kind::kOperator, "...");
    } else if (!two.empty()) {
      at_ += 2;
      emit(Kind::kOperator, std::string(two));
    } else if (text_.substr(at_).starts_with("{,}")) {
      // 1{,}234: a comma without TeX's space after it.
      at_ += 3;
      emit(Kind::kOperator, ",");
    } else {
      ++at_;
      if (c == '$' && !currency_) return;
      if (c == '{' && next_is_roman_) {
        next_is_roman_ = false;
        roman_depth_ = 1;
        return;
      }
      if (roman_depth_ > 0 && c == '{') ++roman_depth_;
      if (roman_depth_ > 0 && c == '}' && --roman_depth_ == 0) return;
      emit(Kind::kOperator, std::string(1, c));
    }
  }

  void command() {
    ++at_;
    if (!is_letter(peek())) return escaped();
    const size_t begin = at_;
    while (is_letter(peek())) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (contains(kLayout, name)) {
      // \left. and \right. draw nothing.
      if ((name == "left" || name == "right") && peek() == '.') ++at_;
      return;
    }
    if (contains(kRoman, name)) {
      while (peek() == ' ') ++at_;
      next_is_roman_ = peek() == '{' && roman_depth_ == 0;
      return;
    }
    if (name == "frac" || name == "dfrac" || name == "tfrac" || name == "cfrac") {
      return emit(Kind::kCommand, "frac");
    }
    if (name == "begin" || name == "end") return environment(name);
    if (name == "mathbb") return blackboard();
    if (const auto op = look_up(kOperatorCommands, name); !op.empty()) {
      if (op == "deg" && last_is("^")) out_.pop_back();
      if (op == "deg" && last_is("{")) degree_in_braces();
      return emit(Kind::kOperator, std::string(op));
    }
    if (const auto symbol = look_up(kSymbolCommands, name); !symbol.empty()) {
      return emit(Kind::kSymbol, std::string(symbol));
    }
    if (contains(kGreek, name)) return emit(Kind::kSymbol, std::string(name));
    if (contains(kFunctions, name)) return emit(Kind::kFunction, std::string(name));
    if (name == "max" || name == "min") return emit(Kind::kWord, std::string(name));
    emit(Kind::kCommand, std::string(name));
  }

  // ^{\circ}: the exponent's sign and braces go.
  void degree_in_braces() {
    if (out_.size() < 2 || !out_[out_.size() - 2].is("^") || peek() != '}') return;
    ++at_;
    out_.resize(out_.size() - 2);
  }

  void escaped() {
    const char c = peek();
    if (at_ < text_.size()) ++at_;
    switch (c) {
      case '{':
      case '}':
        return emit(Kind::kOperator, std::string("\\") + c);
      case '%':
      case '$':
      case '&':
      case '_':
        return emit(Kind::kOperator, std::string(1, c));
      case '|':
        return emit(Kind::kOperator, "||");
      case '\\':
        return emit(Kind::kOperator, "\\\\");
      case '(':
      case ')':
      case '[':
      case ']':
      case '!':
        return;
      case ',':
      case ';':
      case ':':
      case ' ':
        // 1\,234: digits that a thin space sets apart.
        if (c == ',' && !out_.empty() && out_.back().kind == Kind::kNumber && is_digit(peek()) &&
            is_digit(peek(1)) && is_digit(peek(2)) && !is_digit(peek(3))) {
          return emit(Kind::kOperator, ",");
        }
        space_ = true;
        return;
      default:
        return;
    }
  }

  // {...} after a command.
  std::string_view argument() {
    while (peek() == ' ') ++at_;
    if (peek() != '{') return {};
    const size_t end = text_.find('}', at_);
    if (end == text_.npos) return {};
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }

  void environment(std::string_view name) {
    const std::string_view kind = argument();
    if (name == "begin" && kind == "array") argument();  // the columns' alignment
    emit(Kind::kCommand, std::string(name) + ":" + std::string(kind.substr(0, 20)));
  }

  void blackboard() {
    const std::string_view set = argument();
    emit(Kind::kSymbol, std::string(set.substr(0, 1)) + std::string(set.substr(0, 1)));
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<MathToken> out_;
  bool space_ = false, currency_ = false, next_is_roman_ = false;
  int roman_depth_ = 0;  // of braces within \text
};

}  // namespace

std::vector<MathToken> math_tokens(std::string_view text) {
  return Lexer(text).run();
}

std::string normal_text(const std::vector<MathToken>& tokens) {
  size_t end = tokens.size();
  while (end > 0 && tokens[end - 1].is(".")) --end;
  std::string out;
  bool word_before = false;
  for (size_t i = 0; i < end; ++i) {
    const MathToken& t = tokens[i];
    // Braces around a single token: x^{2}.
    if (t.is("{") && i + 2 < end && tokens[i + 2].is("}")) continue;
    if (t.is("}") && i >= 2 && tokens[i - 2].is("{")) continue;
    const bool word = t.kind == Kind::kWord || t.is("and") || t.is("or");
    if (word_before && (word || t.kind != Kind::kOperator)) out += ' ';
    if (t.kind == Kind::kCommand || t.kind == Kind::kFunction ||
        (t.kind == Kind::kSymbol && t.text.size() > 1)) {
      out += '\\';
    }
    out += t.kind == Kind::kWord ? lower(t.text) : t.text;
    word_before = word;
  }
  return out;
}

bool join_thousands(std::vector<MathToken>& tokens) {
  auto group = [&](size_t i) {  // a comma and three digits at i, without spaces
    if (i + 1 >= tokens.size() || !tokens[i].is(",") || tokens[i].space || tokens[i + 1].space) {
      return false;
    }
    const MathToken& t = tokens[i + 1];
    return t.kind == Kind::kNumber && std::min(t.text.find('.'), t.text.size()) == 3;
  };
  std::vector<MathToken> out;
  bool any = false;
  for (size_t i = 0; i < tokens.size(); ++i) {
    out.push_back(tokens[i]);
    std::string& text = out.back().text;
    const bool head = tokens[i].kind == Kind::kNumber && text.size() <= 3 && text[0] != '0' &&
                      text.find('.') == text.npos;
    if (!head) continue;
    while (group(i + 1) && text.find('.') == text.npos) {
      text += tokens[i + 2].text;
      i += 2;
      any = true;
    }
  }
  tokens = std::move(out);
  return any;
}

std::string_view known_unit(std::string_view word) {
  const std::string small = lower(word);
  for (const auto& [name, unit] : kUnits) {
    if (name == word || name == small) return unit.empty() ? std::string_view("unit") : unit;
  }
  return {};
}

}  // namespace r1
