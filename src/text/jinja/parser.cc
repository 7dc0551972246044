#include "text/jinja/parser.h"

#include "base/json.h"
#include "text/jinja/expression_parser.h"

namespace r1::jinja {
namespace {

class Parser : private ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  std::vector<NodePtr> run() {
    std::vector<NodePtr> body = statements({});
    if (!at(TokenType::kEnd)) fail("unexpected tag " + in_quotes(now().text));
    return body;
  }

 private:
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

  std::vector<std::pair<std::string, int>> tags_;  // open ones, with their lines
  int loops_ = 0;                                  // open loops of the innermost function
};

}  // namespace

std::vector<NodePtr> parse_template(std::string_view source, const std::string& where) {
  return Parser(tokenize(source, where), where).run();
}

}  // namespace r1::jinja
