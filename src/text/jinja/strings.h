// Python's str methods over Text: the marks follow the bytes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/jinja/value.h"

namespace r1::jinja {

enum class Side { kBoth, kLeft, kRight };
// strip: white space, or any of the code points of `chars`.
Text strip(const Text& text, const std::optional<std::string>& chars, Side side, Budget& budget);

// split and rsplit: at white space, or at a separator that is not empty; at most `most` times if
// that is not negative.
std::vector<Text> split(const Text& text, const std::optional<std::string>& separator, int64_t most,
                        bool from_right, Budget& budget);
std::vector<Text> split_lines(const Text& text, Budget& budget);
Text replace(const Text& text, const std::string& from, const Text& to, int64_t most,
             Budget& budget);
Text repeat(const Text& text, int64_t times, Budget& budget);
Text join(const Text& separator, const std::vector<Text>& parts, Budget& budget);

enum class Case { kUpper, kLower, kCapitalize, kTitle, kSwap };
Text change_case(const Text& text, Case to, Budget& budget);
// The filter title: words begin after white space, '-' and opening brackets alone.
Text title_words(const Text& text, Budget& budget);

// & < > ' " as HTML entities.
Text escape_html(const Text& text, Budget& budget);

// int(text, base) and float(text): nothing where the text is no number.
std::optional<int64_t> parse_int(std::string_view text, int64_t base);
std::optional<double> parse_float(std::string_view text);

}  // namespace r1::jinja
