#include <algorithm>

#include "text/jinja/interpreter.h"

namespace r1::jinja {

const Value* Arguments::optional(std::string_view name) {
  const auto found = std::find_if(named.begin(), named.end(),
                                  [&](const auto& argument) { return argument.first == name; });
  if (next_ < positional.size()) {
    if (found != named.end()) {
      throw TemplateError(function + "() got multiple values for '" + std::string(name) + "'");
    }
    return &positional[next_++];
  }
  next_ = positional.size();
  if (found == named.end()) return nullptr;
  positional.push_back(std::move(found->second));
  named.erase(found);
  ++next_;
  return &positional.back();
}

Value Arguments::optional(std::string_view name, Value otherwise) {
  const Value* given = optional(name);
  return given ? *given : otherwise;
}

Value Arguments::required(std::string_view name) {
  if (const Value* given = optional(name)) return *given;
  throw TemplateError(function + "() is missing the argument '" + std::string(name) + "'");
}

int64_t Arguments::integer(std::string_view name, int64_t otherwise) {
  const Value* given = optional(name);
  if (!given) return otherwise;
  if (given->is_integer()) return given->as_int();
  throw TemplateError(function + "() expects an integer '" + std::string(name) + "', not " +
                      given->type_name());
}

bool Arguments::truth(std::string_view name, bool otherwise) {
  const Value* given = optional(name);
  return given ? given->truth() : otherwise;
}

Text Arguments::text(std::string_view name) {
  const Value given = required(name);
  if (given.is(Kind::kString)) return given.text();
  throw TemplateError(function + "() expects a string '" + std::string(name) + "', not " +
                      given.type_name());
}

std::optional<std::string> Arguments::string(std::string_view name) {
  const Value* given = optional(name);
  if (!given || given->is(Kind::kNone)) return std::nullopt;
  if (given->is(Kind::kString)) return given->bytes();
  throw TemplateError(function + "() expects a string '" + std::string(name) + "', not " +
                      given->type_name());
}

void Arguments::finish() const {
  if (next_ < positional.size()) {
    throw TemplateError(function + "() takes " + std::to_string(next_) + " arguments, not " +
                        std::to_string(positional.size()));
  }
  if (!named.empty()) {
    throw TemplateError(function + "() has no argument '" + named[0].first + "'");
  }
}

}  // namespace r1::jinja
