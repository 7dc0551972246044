#include "text/post_processor.h"

#include "base/error.h"
#include "text/json_node.h"

namespace r1 {

PostProcessor PostProcessor::parse(const JsonNode& node) {
  PostProcessor out;
  out.append(node);
  return out;
}

void PostProcessor::append(const JsonNode& node) {
  const std::string_view type = node.string("type");
  if (type == "Sequence") {
    for (const JsonNode& item : node.at("processors").items()) append(item);
  } else if (type == "TemplateProcessing") {
    const JsonNode special_tokens = node.at("special_tokens");
    auto& pieces = templates_.emplace_back();
    for (const JsonNode& item : node.at("single").items()) {
      pieces.push_back(parse_piece(item, special_tokens));
    }
  } else if (type != "ByteLevel") {
    node.fail("unknown post_processor " + in_quotes(type));
  }
}

PostProcessor::Piece PostProcessor::parse_piece(const JsonNode& piece,
                                                const JsonNode& special_tokens) {
  if (const auto sequence = piece.find("Sequence")) {
    if (sequence->string("id") != "A") {
      sequence->at("id").fail("a single-sequence template has the sequence \"A\" alone, came " +
                              in_quotes(sequence->string("id")));
    }
    return {true, {}};
  }
  Piece out{false, {}};
  const std::string_view name = piece.at("SpecialToken").string("id");
  for (const JsonNode& id : special_tokens.at(name).at("ids").items()) {
    out.ids.push_back(static_cast<int>(id.integer(0, INT32_MAX)));
  }
  return out;
}

std::vector<int> PostProcessor::apply(std::vector<int> ids, bool add_special_tokens) const {
  for (const auto& pieces : templates_) {
    std::vector<int> out;
    out.reserve(ids.size() + pieces.size());
    for (const Piece& piece : pieces) {
      if (!piece.is_sequence && !add_special_tokens) continue;
      const std::vector<int>& part = piece.is_sequence ? ids : piece.ids;
      out.insert(out.end(), part.begin(), part.end());
    }
    ids = std::move(out);
  }
  return ids;
}

std::vector<int> PostProcessor::added_ids() const {
  std::vector<int> out;
  for (const auto& pieces : templates_) {
    for (const Piece& piece : pieces) out.insert(out.end(), piece.ids.begin(), piece.ids.end());
  }
  return out;
}

}  // namespace r1
