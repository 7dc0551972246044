#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/json.h"

namespace r1::jinja {
namespace {

constexpr int kMaxDepth = 200;  // of the tree: bounds every recursion over it

}  // namespace

bool one_of(std::string_view text, Names names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

void ExpressionParser::next() {
  if (at_ + 1 < tokens_.size()) ++at_;
}

bool ExpressionParser::skip_op(std::string_view op) {
  if (!at_op(op)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}

void ExpressionParser::expect_op(std::string_view op) {
  if (!skip_op(op)) fail_expected("'" + std::string(op) + "'");
}

std::string ExpressionParser::expect_name() {
  if (!at(TokenType::kName)) fail_expected("a name");
  std::string name = now().text;
  next();
  return name;
}

void ExpressionParser::fail_at(int line, const std::string& message) const {
  throw InputError(where_ + ":" + std::to_string(line) + ": " + message);
}

void ExpressionParser::fail_expected(const std::string& what) const {
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

NodePtr ExpressionParser::make(NodeKind kind, int line) const {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->line = line;
  return node;
}

NodePtr ExpressionParser::measured(NodePtr node) const {
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

void ExpressionParser::check_depth(int depth, int line) const {
  if (depth > kMaxDepth) fail_at(line, "nested deeper than " + std::to_string(kMaxDepth));
}

NodePtr ExpressionParser::expression(bool conditional) {
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

NodePtr ExpressionParser::tuple(bool conditional, std::string_view end, bool parentheses) {
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

template <class Parse>
NodePtr ExpressionParser::chain(Names operators, Parse&& operand) {
  NodePtr left = operand();
  while (at(TokenType::kOperator) && one_of(now().text, operators)) {
    const Token op = now();
    next();
    left = make(NodeKind::kBinary, op.line, op.text, std::move(left), operand());
  }
  return left;
}

template <class Parse>
NodePtr ExpressionParser::word_chain(std::string_view word, Parse&& operand) {
  NodePtr left = operand();
  while (at_name(word)) {
    const int line = now().line;
    next();
    left = make(NodeKind::kBinary, line, std::string(word), std::move(left), operand());
  }
  return left;
}

NodePtr ExpressionParser::or_expression() {
  return word_chain("or", [&] { return word_chain("and", [&] { return not_expression(); }); });
}

NodePtr ExpressionParser::not_expression() {
  const Open open(*this);
  const int line = now().line;
  if (skip_name("not")) return make(NodeKind::kUnary, line, "not", not_expression());
  return comparison();
}

NodePtr ExpressionParser::comparison() {
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

NodePtr ExpressionParser::sum() {
  return chain({"+", "-"}, [&] { return concatenation(); });
}

NodePtr ExpressionParser::concatenation() {
  NodePtr first = product();
  if (!at_op("~")) return first;
  NodePtr node = make(NodeKind::kConcat, now().line);
  node->items.push_back(std::move(first));
  while (skip_op("~")) node->items.push_back(product());
  return measured(std::move(node));
}

NodePtr ExpressionParser::product() {
  return chain({"*", "/", "//", "%"}, [&] { return chain({"**"}, [&] { return unary(true); }); });
}

// A filter applies to all of -x, but not to the x of -x.
NodePtr ExpressionParser::unary(bool with_filters) {
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

NodePtr ExpressionParser::constant(Value value) {
  NodePtr node = make(NodeKind::kConstant, now().line);
  node->constant = std::move(value);
  return node;
}

NodePtr ExpressionParser::primary() {
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

Value ExpressionParser::number(const Token& token) const {
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

NodePtr ExpressionParser::list() {
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

NodePtr ExpressionParser::dict() {
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

NodePtr ExpressionParser::postfix(NodePtr node) {
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

NodePtr ExpressionParser::subscript(NodePtr object) {
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

void ExpressionParser::arguments(Node& node) {
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

NodePtr ExpressionParser::call(NodePtr function) {
  NodePtr node = make(NodeKind::kCall, now().line);
  node->items.push_back(std::move(function));
  arguments(*node);
  return measured(std::move(node));
}

NodePtr ExpressionParser::filters(NodePtr value, bool begun) {
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

NodePtr ExpressionParser::filters_and_tests(NodePtr value) {
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

NodePtr ExpressionParser::test(NodePtr value) {
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

}  // namespace r1::jinja
