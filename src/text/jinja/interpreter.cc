#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/format.h"

namespace r1::jinja {

class Interpreter::Scoped {
 public:
  Scoped(Interpreter& interpreter, Scope& parent)
      : interpreter_(interpreter), scope_(std::make_unique<Scope>()) {
    scope_->parent = &parent;
    interpreter.spend(64);
  }
  ~Scoped() {
    if (!scope_->captured) return;
    // What the macro sees must live, and so must all that scope sees.
    scope_->parent->captured = true;
    interpreter_.kept_.push_back(std::move(scope_));
  }
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;
  Scope& operator*() { return *scope_; }

 private:
  Interpreter& interpreter_;
  std::unique_ptr<Scope> scope_;
};

class Interpreter::Nested {
 public:
  Nested(Interpreter& interpreter, const Node& node) : depth_(interpreter.depth_) {
    interpreter.line_ = node.line;
    interpreter.spend(16);
    if (depth_ >= interpreter.limits_.depth) {
      throw TemplateError("the run is nested deeper than " +
                          std::to_string(interpreter.limits_.depth) +
                          "; does a macro call itself without end?");
    }
    ++depth_;
  }
  ~Nested() { --depth_; }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

 private:
  int& depth_;
};

Text Interpreter::run(const Body& body, const Variables& variables) {
  Scope given, top;
  given.variables = variables;
  top.parent = &given;
  Text out;
  out_ = &out;
  execute(body, top);
  kept_.clear();
  return out;
}

void Interpreter::output(const Text& text) {
  spend(text.size());
  if (out_->size() + text.size() > limits_.output_bytes) {
    throw TemplateError("the output is larger than " + std::to_string(limits_.output_bytes) +
                        " bytes");
  }
  out_->append(text);
}

// --- statements ---

Interpreter::Flow Interpreter::execute(const Body& body, Scope& scope) {
  for (const NodePtr& node : body) {
    if (const Flow flow = execute(*node, scope); flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Node& node, Scope& scope) {
  const Nested nested(*this, node);
  switch (node.kind) {
    case NodeKind::kText:
      output(node.constant.text());
      break;
    case NodeKind::kOutput:
      output(text_of(evaluate(*node.items[0], scope)));
      break;
    case NodeKind::kIf:
      for (size_t i = 0; i < node.bodies.size(); ++i) {
        const bool otherwise = i == node.items.size();
        if (otherwise || evaluate(*node.items[i], scope).truth()) {
          return execute(node.bodies[i], scope);
        }
      }
      break;
    case NodeKind::kFor:
      return execute_for(node, scope);
    case NodeKind::kSet:
      assign(*node.items[0], evaluate(*node.items[1], scope), scope);
      break;
    case NodeKind::kSetBlock: {
      Text text;
      const Flow flow = captured(node.bodies[0], scope, text);
      if (flow != Flow::kNext) return flow;
      Value value = Value::string(std::move(text));
      if (node.items[1]) value = filter_block(*node.items[1], std::move(value), scope);
      assign(*node.items[0], std::move(value), scope);
      break;
    }
    case NodeKind::kMacro:
      define(scope, node.name, make_macro(node, node.name, scope));
      break;
    case NodeKind::kCallBlock: {
      const Value caller = make_macro(node, "caller", scope);
      output(text_of(call(*node.items[0], scope, &caller)));
      break;
    }
    case NodeKind::kFilterBlock: {
      Text text;
      const Flow flow = captured(node.bodies[0], scope, text);
      if (flow != Flow::kNext) return flow;
      output(text_of(filter_block(*node.items[0], Value::string(std::move(text)), scope)));
      break;
    }
    case NodeKind::kWith: {
      Scoped inner(*this, scope);
      for (const auto& [name, value] : node.named) define(*inner, name, evaluate(*value, scope));
      return execute(node.bodies[0], *inner);
    }
    case NodeKind::kScope: {
      Scoped inner(*this, scope);
      return execute(node.bodies[0], *inner);
    }
    case NodeKind::kBreak:
      return Flow::kBreak;
    case NodeKind::kContinue:
      return Flow::kContinue;
    default:
      throw TemplateError("no statement");
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute_for(const Node& node, Scope& scope) {
  List items = iterate(evaluate(*node.items[1], scope), budget_);
  if (node.items[2]) {
    List kept;
    for (Value& item : items) {
      Scoped inner(*this, scope);
      assign(*node.items[0], item, *inner);
      if (evaluate(*node.items[2], *inner).truth()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (items.empty()) {
    if (node.bodies.size() < 2) return Flow::kNext;
    Scoped inner(*this, scope);
    return execute(node.bodies[1], *inner);
  }
  const auto loop = std::make_shared<Loop>();
  loop->items = std::move(items);
  for (; loop->index < loop->items.size(); ++loop->index) {
    Scoped inner(*this, scope);
    define(*inner, "loop", Value::of(loop));
    assign(*node.items[0], loop->items[loop->index], *inner);
    if (execute(node.bodies[0], *inner) == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::captured(const Body& body, Scope& scope, Text& text) {
  Scoped inner(*this, scope);
  Text* const before = std::exchange(out_, &text);
  const Flow flow = execute(body, *inner);  // an exception ends the run: out_ is not used again
  out_ = before;
  return flow;
}

void Interpreter::define(Scope& scope, const std::string& name, Value value) {
  spend(4 * scope.variables.size());
  for (auto& [known, old] : scope.variables) {
    if (known != name) continue;
    old = std::move(value);
    return;
  }
  spend(64);
  scope.variables.emplace_back(name, std::move(value));
}

void Interpreter::assign(const Node& target, Value value, Scope& scope) {
  if (target.kind == NodeKind::kName) return define(scope, target.name, std::move(value));
  if (target.kind == NodeKind::kAttribute) {
    const Value space = name(*target.items[0], scope);
    if (!space.is(Kind::kNamespace)) {
      throw TemplateError("cannot assign attribute on non-namespace object");
    }
    if (target.name.starts_with("_")) {
      throw TemplateError("cannot store the underscore-prefixed attribute " + target.name);
    }
    if (value.is(Kind::kNamespace) || value.is(Kind::kLoop)) {
      throw TemplateError("a " + value.type_name() + " within a namespace is not supported");
    }
    if (Value* old = space.space().find(target.name)) {
      *old = std::move(value);
    } else {
      spend(64);
      space.space().attributes.emplace_back(target.name, std::move(value));
    }
    return;
  }
  const List items = iterate(value, budget_);
  if (items.size() != target.items.size()) {
    throw TemplateError("expected " + std::to_string(target.items.size()) +
                        " values to unpack, got " + std::to_string(items.size()));
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], items[i], scope);
}

// --- macros ---

Value Interpreter::make_macro(const Node& node, std::string name, Scope& scope) {
  scope.captured = true;
  return Value::function(std::move(name), [&node, &scope](Interpreter& in, Arguments& arguments) {
    return in.call_macro(node, scope, arguments);
  });
}

Value Interpreter::call_macro(const Node& node, Scope& scope, Arguments& arguments) {
  const int line = line_;
  Scoped inner(*this, scope);
  for (const auto& [parameter, otherwise] : node.named) {
    if (const Value* given = arguments.optional(parameter)) {
      define(*inner, parameter, *given);
    } else if (otherwise) {
      define(*inner, parameter, evaluate(*otherwise, *inner));
    } else {
      define(*inner, parameter, Value::undefined("parameter '" + parameter + "' was not provided"));
    }
  }
  const auto caller = std::find_if(arguments.named.begin(), arguments.named.end(),
                                   [](const auto& a) { return a.first == "caller"; });
  if (node.uses_caller) {
    const bool given = caller != arguments.named.end();
    define(*inner, "caller", given ? caller->second : Value::undefined("No caller defined"));
    if (given) arguments.named.erase(caller);
  }
  if (node.uses_kwargs) {
    std::vector<std::pair<Value, Value>> rest;
    for (auto& [key, value] : arguments.named) rest.emplace_back(Value::string(key), value);
    arguments.named.clear();
    define(*inner, "kwargs", Value::dict(std::move(rest)));
  }
  if (node.uses_varargs) {
    List rest;
    while (const Value* given = arguments.optional("")) rest.push_back(*given);
    define(*inner, "varargs", Value::sequence(Sequence::Type::kTuple, std::move(rest)));
  }
  arguments.finish();
  Text text;
  Text* const before = std::exchange(out_, &text);
  execute(node.bodies[0], *inner);
  out_ = before;
  line_ = line;
  return Value::string(std::move(text));
}

// --- expressions ---

Value Interpreter::evaluate(const Node& node, Scope& scope) {
  const Nested nested(*this, node);
  auto list = [&] {
    List items;
    for (const NodePtr& item : node.items) items.push_back(evaluate(*item, scope));
    return items;
  };
  switch (node.kind) {
    case NodeKind::kConstant:
      return node.constant;
    case NodeKind::kName:
      return name(node, scope);
    case NodeKind::kList:
      return Value::list(list());
    case NodeKind::kTuple:
      return Value::sequence(Sequence::Type::kTuple, list());
    case NodeKind::kDict:
      return dict(node, scope);
    case NodeKind::kAttribute:
      return attribute(evaluate(*node.items[0], scope), node.name);
    case NodeKind::kItem: {
      const Value object = evaluate(*node.items[0], scope);
      return item(object, evaluate(*node.items[1], scope));
    }
    case NodeKind::kSlice:
      return slice(node, scope);
    case NodeKind::kCall:
      return call(node, scope, nullptr);
    case NodeKind::kFilter: {
      const Value value = evaluate(*node.items[0], scope);
      return filter(node.name, value, arguments(node, node.name, 1, scope));
    }
    case NodeKind::kTest: {
      const Value value = evaluate(*node.items[0], scope);
      return Value::boolean(test(node.name, value, arguments(node, node.name, 1, scope)));
    }
    case NodeKind::kUnary:
      return unary(node, scope);
    case NodeKind::kBinary:
      return binary(node, scope);
    case NodeKind::kCompare:
      return compare(node, scope);
    case NodeKind::kConcat:
      return concatenate(node, scope);
    case NodeKind::kConditional:
      if (evaluate(*node.items[0], scope).truth()) return evaluate(*node.items[1], scope);
      if (node.items[2]) return evaluate(*node.items[2], scope);
      return Value::undefined("the inline if-expression evaluated to false and has no else");
    default:
      throw TemplateError("no expression");
  }
}

Value Interpreter::name(const Node& node, const Scope& scope) {
  for (const Scope* s = &scope; s; s = s->parent) {
    spend(4 * s->variables.size() + 1);
    for (const auto& [known, value] : s->variables) {
      if (known == node.name) return value;
    }
  }
  if (const Value* global = find_global(node.name)) return *global;
  return Value::undefined("'" + node.name + "' is undefined");
}

Value Interpreter::dict(const Node& node, Scope& scope) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i < node.items.size(); i += 2) {
    Value key = evaluate(*node.items[i], scope), value = evaluate(*node.items[i + 1], scope);
    const auto old = std::find_if(items.begin(), items.end(), [&](const auto& item) {
      return equal(item.first, key, budget_);
    });
    if (old != items.end()) {
      old->second = std::move(value);
    } else {
      items.emplace_back(std::move(key), std::move(value));
    }
  }
  return Value::dict(std::move(items));
}

Value Interpreter::unary(const Node& node, Scope& scope) {
  const Value value = evaluate(*node.items[0], scope);
  if (node.name == "not") return Value::boolean(!value.truth());
  if (value.is(Kind::kUndefined)) throw TemplateError(value.why_undefined());
  if (!value.is_number()) {
    throw TemplateError("bad operand type for unary " + node.name + ": '" + value.type_name() +
                        "'");
  }
  if (value.is(Kind::kFloat)) {
    return Value::real(node.name == "-" ? -value.as_real() : value.as_real());
  }
  if (node.name == "+") return Value::integer(value.as_int());
  return arithmetic("-", Value::integer(0), value, budget_);
}

Value Interpreter::binary(const Node& node, Scope& scope) {
  Value left = evaluate(*node.items[0], scope);
  if (node.name == "and") return left.truth() ? evaluate(*node.items[1], scope) : left;
  if (node.name == "or") return left.truth() ? left : evaluate(*node.items[1], scope);
  const Value right = evaluate(*node.items[1], scope);
  line_ = node.line;
  return arithmetic(node.name, left, right, budget_);
}

Value Interpreter::compare(const Node& node, Scope& scope) {
  Value left = evaluate(*node.items[0], scope);
  for (const auto& [op, operand] : node.named) {
    Value right = evaluate(*operand, scope);
    line_ = node.line;
    bool holds = false;
    if (op == "==") holds = equal(left, right, budget_);
    if (op == "!=") holds = !equal(left, right, budget_);
    if (op == "<") holds = less(left, right, budget_);
    if (op == ">") holds = less(right, left, budget_);
    if (op == "<=") holds = less(left, right, budget_) || equal(left, right, budget_);
    if (op == ">=") holds = less(right, left, budget_) || equal(left, right, budget_);
    if (op == "in") holds = contains(right, left, budget_);
    if (op == "not in") holds = !contains(right, left, budget_);
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::concatenate(const Node& node, Scope& scope) {
  Text text;
  for (const NodePtr& item : node.items) text.append(text_of(evaluate(*item, scope)));
  return Value::string(std::move(text));
}

Value Interpreter::slice(const Node& node, Scope& scope) {
  const Value object = evaluate(*node.items[0], scope);
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    parts[i] = node.items[i + 1] ? evaluate(*node.items[i + 1], scope) : Value::none();
  }
  return slice_of(object, parts[0], parts[1], parts[2], budget_);
}

Arguments Interpreter::arguments(const Node& node, std::string function, size_t first,
                                 Scope& scope) {
  Arguments out;
  out.function = std::move(function);
  for (size_t i = first; i < node.items.size(); ++i) {
    out.positional.push_back(evaluate(*node.items[i], scope));
  }
  for (const auto& [key, value] : node.named) out.named.emplace_back(key, evaluate(*value, scope));
  if (node.star) {
    for (Value& v : iterate(evaluate(*node.star, scope), budget_)) {
      out.positional.push_back(std::move(v));
    }
  }
  if (node.double_star) {
    const Value more = evaluate(*node.double_star, scope);
    if (!more.is(Kind::kDict)) throw TemplateError("argument after ** must be a mapping");
    for (const auto& [key, value] : more.as_dict().items) {
      if (!key.is(Kind::kString)) throw TemplateError("keywords must be strings");
      out.named.emplace_back(key.bytes(), value);
    }
  }
  line_ = node.line;
  return out;
}

Value Interpreter::call(const Node& node, Scope& scope, const Value* caller) {
  const Value function = evaluate(*node.items[0], scope);
  if (function.is(Kind::kUndefined)) throw TemplateError(function.why_undefined());
  if (!function.is(Kind::kFunction)) {
    throw TemplateError("'" + function.type_name() + "' object is not callable");
  }
  Arguments args = arguments(node, function.callable().name, 1, scope);
  if (caller) args.named.emplace_back("caller", *caller);
  return function.callable().call(*this, args);
}

// The chain of filters of a block, whose innermost has no value of its own.
Value Interpreter::filter_block(const Node& node, Value value, Scope& scope) {
  if (node.items[0]) value = filter_block(*node.items[0], std::move(value), scope);
  return filter(node.name, value, arguments(node, node.name, 1, scope));
}

Value Interpreter::filter(const std::string& name, const Value& value, Arguments arguments) {
  const Filter f = find_filter(name);
  if (!f) throw TemplateError("the filter '" + name + "' is not supported");
  return f(*this, value, arguments);
}

bool Interpreter::test(const std::string& name, const Value& value, Arguments arguments) {
  const Test t = find_test(name);
  if (!t) throw TemplateError("the test '" + name + "' is not supported");
  return t(*this, value, arguments);
}

Text Interpreter::text_of(const Value& value) {
  if (value.is(Kind::kString)) spend(value.bytes().size());
  return to_text(value, budget_);
}

}  // namespace r1::jinja
