#include "text/jinja_parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "base/error.h"
#include "base/json.h"
#include "text/jinja_lexer.h"

namespace r1::jinja {
namespace {

constexpr int kMaxDepth = 200;  // of the tree: bounds every recursion over it

using Names = std::initializer_list<std::string_view>;

bool one_of(std::string_view text, Names names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, const std::string& where)
      : tokens_(std::move(tokens)), where_(where) {}

  std::vector<NodePtr> run() {
    std::vector<NodePtr> body = statements({});
    if (!at(TokenType::kEnd)) fail("unexpected tag " + in_quotes(now().text));
    return body;
  }

 private:
  // --- tokens ---

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool at(TokenType type) const { return now().type == type; }
  bool at_op(std::string_view op) const { return at(TokenType::kOperator) && now().text == op; }
  bool at_name(std::string_view name) const { return at(TokenType::kName) && now().text == name; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool skip_op(std::string_view op) {
    if (!at_op(op)) return false;
    next();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!at_name(name)) return false;
    next();
    return true;
  }
  void expect_op(std::string_view op) {
    if (!skip_op(op)) fail_expected("'" + std::string(op) + "'");
  }
  std::string expect_name() {
    if (!at(TokenType::kName)) fail_expected("a name");
    std::string name = now().text;
    next();
    return name;
  }

  [[noreturn]] void fail(const std::string& message) const { fail_at(now().line, message); }
  [[noreturn]] void fail_at(int line, const std::string& message) const {
    throw InputError(where_ + ":" + std::to_string(line) + ": " + message);
  }
  [[noreturn]] void fail_expected(const std::string& what) const {
    std::string came;
    switch (now().type) {
      case TokenType::kEnd:
        came = "the end of the template";
        break;
      case TokenType::kVariableEnd:
        came = "}}";
        break;
      case TokenType::kBlockEnd:
        came = "%}";
        break;
      default:
        came = in_quotes(now().text);
    }
    fail("expected " + what + ", came " + came);
  }

  // --- nodes ---

  NodePtr make(NodeKind kind, int line) const {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->line = line;
    return node;
  }

  // Call after children were added.
  NodePtr measured(NodePtr node) const {
    int depth = 0;
    auto see = [&](const NodePtr& child) {
      if (child) depth = std::max(depth, child->depth);
    };
    for (const auto& child : node->items) see(child);
    for (const auto& child : node->named) see(child.second);
    for (const auto& body : node->bodies) std::for_each(body.begin(), body.end(), see);
    see(node->star);
    see(node->double_star);
    node->depth = depth + 1;
    check_depth(node->depth, node->line);
    return node;
  }
  void check_depth(int depth, int line) const {
    if (depth > kMaxDepth) fail_at(line, "nested deeper than " + std::to_string(kMaxDepth));
  }

  template <class... Children>
  NodePtr make(NodeKind kind, int line, std::string name, Children... children) const {
    NodePtr node = make(kind, line);
    node->name = std::move(name);
    (node->items.push_back(std::move(children)), ...);
    return measured(std::move(node));
  }

  // Counts open constructs: recursion on the way down is bounded before there is a tree.
  struct Open {
    explicit Open(Parser& parser) : p(parser) { p.check_depth(++p.open_, p.now().line); }
    ~Open() { --p.open_; }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    Parser& p;
  };

  // --- statements ---

  // Up to a tag that is one of `ends` (which is not taken), or the template's end.
  std::vector<NodePtr> statements(Names ends) {
    const Open open(*this);
    std::vector<NodePtr> body;
    while (!at(TokenType::kEnd)) {
      const int line = now().line;
      if (at(TokenType::kData)) {
        NodePtr text = make(NodeKind::kText, line);
        text->constant = Value::string(now().text);
        next();
        body.push_back(std::move(text));
      } else if (at(TokenType::kVariableBegin)) {
        next();
        body.push_back(make(NodeKind::kOutput, line, "", tuple()));
        if (!at(TokenType::kVariableEnd)) fail_expected("}}");
        next();
      } else {
        if (one_of(ahead().text, ends) && ahead().type == TokenType::kName) return body;
        next();
        body.push_back(statement());
        end_tag();
      }
    }
    return body;
  }

  void end_tag() {
    if (!at(TokenType::kBlockEnd)) fail_expected("%}");
    next();
  }

  // What stands between the tag that is being read and one of `ends`, whose name is taken too.
  std::string body_until(Names ends, std::vector<std::vector<NodePtr>>& bodies) {
    const std::string tag = tags_.back().first;
    const int line = tags_.back().second;
    skip_op(":");
    end_tag();
    bodies.push_back(statements(ends));
    if (at(TokenType::kEnd)) {
      fail_at(line, "the block " + in_quotes(tag) + " does not end: expected {% " +
                        std::string(*(ends.end() - 1)) + " %}");
    }
    next();
    return expect_name();
  }

  NodePtr statement() {
    if (!at(TokenType::kName)) fail_expected("the name of a tag");
    const std::string tag = now().text;
    tags_.emplace_back(tag, now().line);
    next();
    NodePtr node = tag_statement(tag);
    tags_.pop_back();
    return node;
  }

  NodePtr tag_statement(const std::string& tag) {
    const int line = tags_.back().second;
    if (tag == "if") return if_statement(line);
    if (tag == "for") return for_statement(line);
    if (tag == "set") return set_statement(line);
    if (tag == "macro") return macro_statement(line);
    if (tag == "call") return call_block(line);
    if (tag == "with") return with_statement(line);
    if (tag == "filter") {
      NodePtr node = make(NodeKind::kFilterBlock, line);
      node->items.push_back(filters(nullptr, true));
      body_until({"endfilter"}, node->bodies);
      return measured(std::move(node));
    }
    if (tag == "generation") {
      NodePtr node = make(NodeKind::kScope, line);
      function_body(*node, {"endgeneration"});
      return measured(std::move(node));
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail_at(line, in_quotes(tag) + " outside of a loop");
      return make(tag == "break" ? NodeKind::kBreak : NodeKind::kContinue, line);
    }
    if (one_of(tag, {"block", "extends", "include", "import", "from", "autoescape", "print", "do",
                     "trans", "debug"})) {
      fail_at(line, "the tag " + in_quotes(tag) + " is not supported in chat templates");
    }
    fail_at(line, "unexpected tag " + in_quotes(tag));
  }

  NodePtr if_statement(int line) {
    NodePtr node = make(NodeKind::kIf, line);
    node->items.push_back(tuple(false));
    std::string end = body_until({"elif", "else", "endif"}, node->bodies);
    while (end == "elif") {
      node->items.push_back(tuple(false));
      end = body_until({"elif", "else", "endif"}, node->bodies);
    }
    if (end == "else") body_until({"endif"}, node->bodies);
    return measured(std::move(node));
  }

  NodePtr for_statement(int line) {
    NodePtr node = make(NodeKind::kFor, line);
    node->items.push_back(target("in"));
    if (!skip_name("in")) fail_expected("'in'");
    node->items.push_back(tuple(false, "recursive"));
    node->items.push_back(skip_name("if") ? expression() : nullptr);
    if (at_name("recursive")) fail("recursive loops are not supported");
    ++loops_;
    const std::string end = body_until({"else", "endfor"}, node->bodies);
    --loops_;
    if (end == "else") body_until({"endfor"}, node->bodies);
    return measured(std::move(node));
  }

  NodePtr set_statement(int line) {
    NodePtr where = target("");
    if (skip_op("=")) return make(NodeKind::kSet, line, "", std::move(where), tuple());
    NodePtr node = make(NodeKind::kSetBlock, line);
    node->items.push_back(std::move(where));
    node->items.push_back(filters(nullptr, false));
    body_until({"endset"}, node->bodies);
    return measured(std::move(node));
  }

  // A body that is a function of its own: no break or continue reaches out of it.
  void function_body(Node& node, Names ends) {
    const int loops = loops_;
    loops_ = 0;
    functions_.push_back(&node);
    body_until(ends, node.bodies);
    functions_.pop_back();
    loops_ = loops;
  }

  void parameters(Node& node) {
    expect_op("(");
    while (!at_op(")")) {
      if (!node.named.empty()) expect_op(",");
      std::string name = expect_name();
      NodePtr value = skip_op("=") ? expression() : nullptr;
      if (!value && !node.named.empty() && node.named.back().second) {
        fail("a parameter without a default follows one with a default");
      }
      node.named.emplace_back(std::move(name), std::move(value));
    }
    next();
  }

  NodePtr macro_statement(int line) {
    NodePtr node = make(NodeKind::kMacro, line);
    node->name = expect_name();
    parameters(*node);
    function_body(*node, {"endmacro"});
    return measured(std::move(node));
  }

  NodePtr call_block(int line) {
    NodePtr node = make(NodeKind::kCallBlock, line);
    if (at_op("(")) parameters(*node);
    node->items.push_back(expression());
    if (node->items[0]->kind != NodeKind::kCall) fail_at(line, "expected a call");
    function_body(*node, {"endcall"});
    return measured(std::move(node));
  }

  NodePtr with_statement(int line) {
    NodePtr node = make(NodeKind::kWith, line);
    while (!at(TokenType::kBlockEnd)) {
      if (!node->named.empty()) expect_op(",");
      std::string name = expect_name();
      expect_op("=");
      node->named.emplace_back(std::move(name), expression());
    }
    body_until({"endwith"}, node->bodies);
    return measured(std::move(node));
  }

  // What can be assigned to: names, tuples of them, namespace.attribute. `end` follows it in a for.
  NodePtr target(std::string_view end) {
    const int line = now().line;
    auto one = [&]() -> NodePtr {
      const Open open(*this);
      if (skip_op("(")) {
        NodePtr inner = target(")");
        expect_op(")");
        return inner;
      }
      const int here = now().line;
      const std::string name = expect_name();
      if (one_of(name, {"true", "false", "none", "True", "False", "None"})) {
        fail_at(here, "cannot assign to " + name);
      }
      NodePtr node = make(NodeKind::kName, here, name);
      if (end.empty() && skip_op(".")) {
        return make(NodeKind::kAttribute, here, expect_name(), std::move(node));
      }
      return node;
    };
    NodePtr first = one();
    if (!at_op(",")) return first;
    NodePtr node = make(NodeKind::kTuple, line);
    node->items.push_back(std::move(first));
    while (skip_op(",")) {
      if (at_op("=") || at_op(")") || at_name("in")) break;
      node->items.push_back(one());
    }
    return measured(std::move(node));
  }

  // --- expressions, from the loosest binding on ---

  NodePtr expression(bool conditional = true) {
    const Open open(*this);
    NodePtr value = or_expression();
    while (conditional && at_name("if")) {
      const int line = now().line;
      next();
      NodePtr condition = or_expression();
      NodePtr otherwise = skip_name("else") ? expression() : nullptr;
      value = make(NodeKind::kConditional, line, "", std::move(condition), std::move(value),
                   std::move(otherwise));
    }
    return value;
  }

  // An expression, or several as a tuple. `end`: a name that ends it.
  NodePtr tuple(bool conditional = true, std::string_view end = "", bool parentheses = false) {
    auto ends = [&] {
      return at(TokenType::kVariableEnd) || at(TokenType::kBlockEnd) || at_op(")") ||
             (!end.empty() && at_name(end));
    };
    NodePtr node = make(NodeKind::kTuple, now().line);
    bool comma = false;
    while (!ends()) {
      node->items.push_back(expression(conditional));
      if (!skip_op(",")) break;
      comma = true;
    }
    if (!comma && !node->items.empty()) return std::move(node->items[0]);
    if (!comma && !parentheses) fail_expected("an expression");
    return measured(std::move(node));
  }

  // left-associative chains of operators
  template <class Parse>
  NodePtr chain(Names operators, Parse&& operand) {
    NodePtr left = operand();
    while (at(TokenType::kOperator) && one_of(now().text, operators)) {
      const Token op = now();
      next();
      left = make(NodeKind::kBinary, op.line, op.text, std::move(left), operand());
    }
    return left;
  }
  template <class Parse>
  NodePtr word_chain(std::string_view word, Parse&& operand) {
    NodePtr left = operand();
    while (at_name(word)) {
      const int line = now().line;
      next();
      left = make(NodeKind::kBinary, line, std::string(word), std::move(left), operand());
    }
    return left;
  }

  NodePtr or_expression() {
    return word_chain("or", [&] { return word_chain("and", [&] { return not_expression(); }); });
  }

  NodePtr not_expression() {
    const Open open(*this);
    const int line = now().line;
    if (skip_name("not")) return make(NodeKind::kUnary, line, "not", not_expression());
    return comparison();
  }

  NodePtr comparison() {
    NodePtr first = sum();
    NodePtr node = make(NodeKind::kCompare, now().line);
    while (true) {
      std::string op = now().text;
      if (at(TokenType::kOperator) && one_of(op, {"==", "!=", "<", "<=", ">", ">="})) {
        next();
      } else if (skip_name("in")) {
        op = "in";
      } else if (at_name("not") && ahead().type == TokenType::kName && ahead().text == "in") {
        next();
        next();
        op = "not in";
      } else {
        break;
      }
      node->named.emplace_back(op, sum());
    }
    if (node->named.empty()) return first;
    node->items.push_back(std::move(first));
    return measured(std::move(node));
  }

  NodePtr sum() {
    return chain({"+", "-"}, [&] { return concatenation(); });
  }

  NodePtr concatenation() {
    NodePtr first = product();
    if (!at_op("~")) return first;
    NodePtr node = make(NodeKind::kConcat, now().line);
    node->items.push_back(std::move(first));
    while (skip_op("~")) node->items.push_back(product());
    return measured(std::move(node));
  }

  NodePtr product() {
    return chain({"*", "/", "//", "%"}, [&] { return chain({"**"}, [&] { return unary(true); }); });
  }

  // A filter applies to all of -x, but not to the x of -x.
  NodePtr unary(bool with_filters) {
    const Open open(*this);
    const Token token = now();
    NodePtr node;
    if (at_op("-") || at_op("+")) {
      next();
      node = make(NodeKind::kUnary, token.line, token.text, unary(false));
    } else {
      node = primary();
    }
    node = postfix(std::move(node));
    return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
  }

  NodePtr constant(Value value) {
    NodePtr node = make(NodeKind::kConstant, now().line);
    node->constant = std::move(value);
    return node;
  }

  NodePtr primary() {
    const Token token = now();
    switch (token.type) {
      case TokenType::kName:
        next();
        if (one_of(token.text, {"true", "True"})) return constant(Value::boolean(true));
        if (one_of(token.text, {"false", "False"})) return constant(Value::boolean(false));
        if (one_of(token.text, {"none", "None"})) return constant(Value::none());
        if (!functions_.empty()) {
          Node& function = *functions_.back();
          function.uses_varargs |= token.text == "varargs";
          function.uses_kwargs |= token.text == "kwargs";
          function.uses_caller |= token.text == "caller";
        }
        return make(NodeKind::kName, token.line, token.text);
      case TokenType::kString: {
        std::string text;
        for (; at(TokenType::kString); next()) text += now().text;
        return constant(Value::string(text));
      }
      case TokenType::kInteger:
      case TokenType::kFloat:
        next();
        return constant(number(token));
      case TokenType::kOperator:
        if (token.text == "(") {
          next();
          NodePtr inner = tuple(true, "", true);
          expect_op(")");
          return inner;
        }
        if (token.text == "[") return list();
        if (token.text == "{") return dict();
        [[fallthrough]];
      default:
        fail_expected("an expression");
    }
  }

  Value number(const Token& token) const {
    const char* end = token.text.data() + token.text.size();
    if (token.type == TokenType::kFloat) {
      double value = 0;
      std::from_chars(token.text.data(), end, value);
      return Value::real(value);
    }
    const char base = token.text.size() > 1 ? static_cast<char>(token.text[1] | 0x20) : ' ';
    const int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 10;
    int64_t value = 0;
    const auto read = std::from_chars(token.text.data() + (radix == 10 ? 0 : 2), end, value, radix);
    if (read.ec != std::errc{}) fail_at(token.line, "the integer is beyond 64 bits");
    return Value::integer(value);
  }

  NodePtr list() {
    NodePtr node = make(NodeKind::kList, now().line);
    next();
    while (!at_op("]")) {
      if (!node->items.empty()) expect_op(",");
      if (at_op("]")) break;
      node->items.push_back(expression());
    }
    next();
    return measured(std::move(node));
  }

  NodePtr dict() {
    NodePtr node = make(NodeKind::kDict, now().line);
    next();
    while (!at_op("}")) {
      if (!node->items.empty()) expect_op(",");
      if (at_op("}")) break;
      node->items.push_back(expression());
      expect_op(":");
      node->items.push_back(expression());
    }
    next();
    return measured(std::move(node));
  }

  NodePtr postfix(NodePtr node) {
    while (true) {
      const int line = now().line;
      if (skip_op(".")) {
        if (at(TokenType::kInteger)) {
          NodePtr index = constant(number(now()));
          next();
          node = make(NodeKind::kItem, line, "", std::move(node), std::move(index));
        } else {
          node = make(NodeKind::kAttribute, line, expect_name(), std::move(node));
        }
      } else if (at_op("[")) {
        node = subscript(std::move(node));
      } else if (at_op("(")) {
        node = call(std::move(node));
      } else {
        return node;
      }
    }
  }

  NodePtr subscript(NodePtr object) {
    const int line = now().line;
    next();
    NodePtr first = at_op(":") ? nullptr : expression();
    if (!at_op(":")) {
      expect_op("]");
      return make(NodeKind::kItem, line, "", std::move(object), std::move(first));
    }
    auto part = [&]() -> NodePtr {
      if (!skip_op(":") || at_op("]") || at_op(":")) return nullptr;
      return expression();
    };
    NodePtr stop = part();
    NodePtr step = part();
    expect_op("]");
    return make(NodeKind::kSlice, line, "", std::move(object), std::move(first), std::move(stop),
                std::move(step));
  }

  void arguments(Node& node) {
    expect_op("(");
    bool comma = false;
    while (!at_op(")")) {
      if (comma) expect_op(",");
      comma = true;
      if (at_op(")")) break;
      if (skip_op("*")) {
        if (node.star || node.double_star) fail("a second * in a call");
        node.star = expression();
      } else if (skip_op("**")) {
        if (node.double_star) fail("a second ** in a call");
        node.double_star = expression();
      } else if (at(TokenType::kName) && ahead().type == TokenType::kOperator &&
                 ahead().text == "=") {
        if (node.double_star) fail("an argument after ** in a call");
        std::string name = expect_name();
        next();
        node.named.emplace_back(std::move(name), expression());
      } else {
        if (!node.named.empty() || node.star || node.double_star) {
          fail("a positional argument after a named one");
        }
        node.items.push_back(expression());
      }
    }
    next();
  }

  NodePtr call(NodePtr function) {
    NodePtr node = make(NodeKind::kCall, now().line);
    node->items.push_back(std::move(function));
    arguments(*node);
    return measured(std::move(node));
  }

  // value | name(...) | ...; `begun`: the first name stands without its |.
  NodePtr filters(NodePtr value, bool begun) {
    while (begun || skip_op("|")) {
      begun = false;
      NodePtr node = make(NodeKind::kFilter, now().line);
      node->name = expect_name();
      while (skip_op(".")) node->name += "." + expect_name();
      node->items.push_back(std::move(value));
      if (at_op("(")) arguments(*node);
      value = measured(std::move(node));
    }
    return value;
  }

  NodePtr filters_and_tests(NodePtr value) {
    while (true) {
      if (at_op("|")) {
        value = filters(std::move(value), false);
      } else if (at_name("is")) {
        value = test(std::move(value));
      } else if (at_op("(")) {
        value = call(std::move(value));
      } else {
        return value;
      }
    }
  }

  NodePtr test(NodePtr value) {
    const int line = now().line;
    next();
    const bool negated = skip_name("not");
    NodePtr node = make(NodeKind::kTest, line);
    node->name = expect_name();
    node->items.push_back(std::move(value));
    const bool argument = (at(TokenType::kName) && !one_of(now().text, {"else", "or", "and"})) ||
                          at(TokenType::kString) || at(TokenType::kInteger) ||
                          at(TokenType::kFloat) || at_op("[") || at_op("{");
    if (at_op("(")) {
      arguments(*node);
    } else if (argument) {
      if (at_name("is")) fail("tests cannot be chained with is");
      const Open open(*this);
      node->items.push_back(postfix(primary()));
    }
    node = measured(std::move(node));
    return negated ? make(NodeKind::kUnary, line, "not", std::move(node)) : std::move(node);
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  const std::string& where_;
  std::vector<std::pair<std::string, int>> tags_;  // open ones, with their lines
  std::vector<Node*> functions_;                   // open macros and call blocks
  int loops_ = 0;                                  // open loops of the innermost function
  int open_ = 0;
};

}  // namespace

std::vector<NodePtr> parse_template(std::string_view source, const std::string& where) {
  return Parser(tokenize(source, where), where).run();
}

}  // namespace r1::jinja
