// Writing JSON: strings and numbers appended to a std::string. Pure; any thread.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/api/api.h"

namespace motet::http {

// Quoted and escaped. Bytes that are not UTF-8 become U+FFFD, so that the text stays JSON.
void append_json_string(std::string& out, std::string_view text);
// Whether JSON can hold `text` unchanged.
bool is_utf8(std::string_view text);

// The shortest text that reads back as the same value of the same type; whole numbers keep ".0". NaN, Infinity and
// -Infinity as Triton (and Python) write them, although JSON has no such numbers.
void append_json_float(std::string& out, float value);
void append_json_float(std::string& out, double value);

template <std::integral T>
void append_json_int(std::string& out, T value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// [1,3,224,224]
void append_json_shape(std::string& out, std::span<const int64_t> shape);
// {"key":value,...}
void append_json_parameters(std::string& out, const api::Parameters& parameters);

}  // namespace motet::http
