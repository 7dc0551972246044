// The parser's lower half: tokens, nodes, and expressions with Jinja's precedences. The statements
// (jinja_parser.cc) stand on it.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"

namespace r1::jinja {

using Names = std::initializer_list<std::string_view>;

bool one_of(std::string_view text, Names names);

class ExpressionParser {
 public:
  // `where` must outlive the parser.
  ExpressionParser(std::vector<Token> tokens, const std::string& where)
      : tokens_(std::move(tokens)), where_(where) {}

 protected:
  // --- tokens ---

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool at(TokenType type) const { return now().type == type; }
  bool at_op(std::string_view op) const { return at(TokenType::kOperator) && now().text == op; }
  bool at_name(std::string_view name) const { return at(TokenType::kName) && now().text == name; }
  void next();
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  std::string expect_name();

  [[noreturn]] void fail(const std::string& message) const { fail_at(now().line, message); }
  [[noreturn]] void fail_at(int line, const std::string& message) const;
  [[noreturn]] void fail_expected(const std::string& what) const;

  // --- nodes ---

  NodePtr make(NodeKind kind, int line) const;
  template <class... Children>
  NodePtr make(NodeKind kind, int line, std::string name, Children... children) const {
    NodePtr node = make(kind, line);
    node->name = std::move(name);
    (node->items.push_back(std::move(children)), ...);
    return measured(std::move(node));
  }
  // The node with its depth, once it has all its children.
  NodePtr measured(NodePtr node) const;

  // Counts open constructs: recursion on the way down is bounded before there is a tree.
  struct Open {
    explicit Open(ExpressionParser& parser) : p(parser) { p.check_depth(++p.open_, p.now().line); }
    ~Open() { --p.open_; }
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    ExpressionParser& p;
  };

  // --- expressions ---

  NodePtr expression(bool conditional = true);
  // An expression, or several as a tuple. `end`: a name that ends it. In parentheses it may be
  // empty.
  NodePtr tuple(bool conditional = true, std::string_view end = "", bool parentheses = false);
  // value | name(...) | ...; `begun`: the first name stands without its |.
  NodePtr filters(NodePtr value, bool begun);

  std::vector<Node*> functions_;  // open macros and call blocks

 private:
  void check_depth(int depth, int line) const;

  // From the loosest binding on.
  NodePtr or_expression();
  NodePtr not_expression();
  NodePtr comparison();
  NodePtr sum();
  NodePtr concatenation();
  NodePtr product();
  NodePtr unary(bool with_filters);
  NodePtr postfix(NodePtr node);
  NodePtr primary();

  // Chains that associate to the left.
  template <class Parse>
  NodePtr chain(Names operators, Parse&& operand);
  template <class Parse>
  NodePtr word_chain(std::string_view word, Parse&& operand);

  NodePtr constant(Value value);
  Value number(const Token& token) const;
  NodePtr list();
  NodePtr dict();
  NodePtr subscript(NodePtr object);
  NodePtr call(NodePtr function);
  void arguments(Node& node);
  NodePtr filters_and_tests(NodePtr value);
  NodePtr test(NodePtr value);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  const std::string& where_;
  int open_ = 0;
};

}  // namespace r1::jinja
