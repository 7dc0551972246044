#include "text/number_tokenizer.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/byte_level.h"
#include "text/think.h"

namespace r1 {
namespace {

// A word, one or two digits, an arrow or a single other character, each with the space before it;
// or one character of white space. A word takes the colon after it along. The alternatives cover
// every character.
constexpr std::string_view kPattern = R"( ?\p{L}+:?| ?[0-9]{1,2}| ?->| ?[^\s\p{L}0-9]|\s)";

using Merges = std::vector<std::pair<std::string, std::string>>;

// Within a word of the pattern, lower ranks merge first; so pairs of digits come before a space
// and a digit, and each word is built from its left end.
Merges merges() {
  Merges out;
  auto digit = [](int n) { return std::string(1, static_cast<char>('0' + n)); };
  for (int n = 0; n < 100; ++n) out.emplace_back(digit(n / 10), digit(n % 10));  // 00 to 99
  for (int n = 0; n < 10; ++n) out.emplace_back(" ", digit(n));
  for (int n = 10; n < 100; ++n) out.emplace_back(" ", digit(n / 10) + digit(n % 10));
  out.emplace_back("-", ">");
  for (const char* op : {"+", "-", "*", "/", "=", "->", "(", ")", ","}) out.emplace_back(" ", op);
  for (const std::string word : {"Numbers:", "Target:", "vs", "yes", "no", "is", "the"}) {
    for (size_t n = 1; n < word.size(); ++n) out.emplace_back(word.substr(0, n), word.substr(n, 1));
  }
  for (const char* word : {"vs", "yes", "no", "is", "the"}) out.emplace_back(" ", word);
  return out;
}

OrderedJson added_token(int id, std::string_view content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

OrderedJson byte_level() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", false}};
}

OrderedJson model() {
  OrderedJson vocab = OrderedJson::object(), list = OrderedJson::array();
  int id = 0;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[std::string(byte_level_char(static_cast<unsigned char>(byte)))] = id++;
  }
  for (const auto& [left, right] : merges()) {
    list.push_back(to_byte_level(left) + " " + to_byte_level(right));
    const bool fresh = vocab.emplace(to_byte_level(left + right), id++).second;
    R1_CHECK(fresh);
  }
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(list)}};
}

}  // namespace

std::string number_tokenizer_json() {
  OrderedJson bpe = model();
  int id = static_cast<int>(bpe["vocab"].size());
  OrderedJson added = OrderedJson::array();
  added.push_back(added_token(id++, kEndOfText, true));
  for (const std::string_view tag : {kThinkOpen, kThinkClose, kAnswerOpen, kAnswerClose}) {
    added.push_back(added_token(id++, tag, false));
  }
  const OrderedJson split = {{"type", "Split"},
                             {"pattern", {{"Regex", kPattern}}},
                             {"behavior", "Isolated"},
                             {"invert", false}};
  const OrderedJson root = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({split, byte_level()})}}},
      {"post_processor", nullptr},
      {"decoder", byte_level()},
      {"model", std::move(bpe)}};
  return root.dump(1) + "\n";
}

}  // namespace r1
