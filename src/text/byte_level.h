// GPT-2's byte alphabet: every byte has a printable character, so that a vocabulary of arbitrary
// bytes can be written as text. Printable Latin-1 stands for itself; the other 68 bytes are
// U+0100.. in order. Source: openai/gpt-2, encoder.py, bytes_to_unicode.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace r1 {

// The character of a byte, as UTF-8 (one or two bytes, static storage).
std::string_view byte_level_char(unsigned char byte);
// Each byte by its character.
void append_byte_level(std::string_view bytes, std::string& out);
std::string to_byte_level(std::string_view bytes);
// The bytes behind valid UTF-8 text, or nothing where a character is not of the alphabet.
std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace r1
