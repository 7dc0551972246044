// A chat template's syntax tree. Precedences are Jinja's, which are not all Python's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace r1::jinja {

struct Node;
using NodePtr = std::unique_ptr<Node>;

// What of `items`, `named`, `body` and `otherwise` a kind uses stands beside it.
enum class NodeKind {
  // Expressions.
  kConstant,     // constant
  kName,         // name
  kList,         // items
  kTuple,        // items
  kDict,         // items: key, value, key, value, ...
  kAttribute,    // items[0].name
  kItem,         // items[0][items[1]]
  kSlice,        // items[0][items[1]:items[2]:items[3]], each of the three may be null
  kCall,         // items[0](items[1...], named, *star, **double_star)
  kFilter,       // items[0] | name(...); items[0] is null in filter blocks
  kTest,         // items[0] is name(...)
  kUnary,        // name: "+", "-" or "not"; items[0]
  kBinary,       // name: the operator, "and" and "or" included; two items
  kCompare,      // items[0] then (named[i].first: the operator) named[i].second
  kConcat,       // items joined as text
  kConditional,  // items[1] if items[0] else items[2], which may be null
  // Statements.
  kOutput,       // items[0]
  kText,         // constant
  kIf,           // items: conditions; bodies one more than those where there is an else
  kFor,          // items[0]: target, [1]: iterable, [2]: condition or null; bodies: loop, else
  kSet,          // items[0]: target, items[1]: value
  kSetBlock,     // items[0]: target, [1]: filter or null; bodies[0]
  kMacro,        // name; named: parameters with their defaults or null; bodies[0]
  kCallBlock,    // items[0]: the call; named: the caller's parameters; bodies[0]
  kFilterBlock,  // items[0]: the filter; bodies[0]
  kWith,         // named: names and values; bodies[0]
  kScope,        // bodies[0] (the generation tag)
  kBreak,
  kContinue
};

struct Node {
  NodeKind kind = NodeKind::kText;
  int line = 0;
  int depth = 1;  // of the tree below; bounded
  std::string name;
  Value constant;
  std::vector<NodePtr> items;
  std::vector<std::pair<std::string, NodePtr>> named;
  NodePtr star, double_star;
  std::vector<std::vector<NodePtr>> bodies;
  // Of a macro: whether its body reads these.
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

// The statements of a template. InputError("WHERE:LINE: ...") names what is wrong or outside of the
// subset.
std::vector<NodePtr> parse_template(std::string_view source, const std::string& where);

}  // namespace r1::jinja
