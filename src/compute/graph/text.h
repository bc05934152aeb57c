// Text of strangers in our messages: names come from model files and may hold anything. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace motet::graph {

// `text` in single quotes, control and non-ASCII bytes as \xNN, cut after 96 bytes: safe in a log line and in JSON.
std::string in_quotes(std::string_view text);
// RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF.
bool valid_utf8(std::string_view text);

}  // namespace motet::graph
