// The tokenizer of the demo model: byte-level BPE in which every number from 0 to 99 is one token,
// so that arithmetic on small numbers is a matter of single tokens.
//
// What is one token, bare and with a space before it: the numbers 0 to 99 and + - * / = -> ( ),
// the words vs, yes, no. Longer numbers are cut from the left into pairs of digits: " 144" is
// " 14", "4". The prompt's words "Numbers:" and "Target:" are one token each. Every newline, tab
// and space that belongs to nothing stands alone. All 256 bytes are tokens: any text can be
// encoded, and decoded to itself.
#pragma once

#include <string>
#include <string_view>

namespace r1 {

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// A whole tokenizer.json, the same bytes every time; Hugging Face tokenizers loads it too.
// 496 tokens: 256 bytes, 235 merges, then <|endoftext|> (special: end of sequence and padding) and
// <think>, </think>, <answer>, </answer> (added but not special: decode shows them).
std::string number_tokenizer_json();

}  // namespace r1
