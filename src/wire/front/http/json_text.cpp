#include "wire/front/http/json_text.h"

#include <simdjson.h>

#include <cmath>

namespace motet::http {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// The length of the well-formed UTF-8 sequence at the start of `text`, or 0. RFC 3629: no overlong forms, no
// surrogates.
size_t sequence_length(std::string_view text) {
  auto byte = [&text](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  size_t length = lead < 0x80                   ? 1
                  : lead >= 0xC2 && lead < 0xE0 ? 2
                  : lead >= 0xE0 && lead < 0xF0 ? 3
                  : lead >= 0xF0 && lead < 0xF5 ? 4
                                                : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F)) return 0;
  if ((lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F)) return 0;
  return length;
}

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: {
      auto code = static_cast<unsigned char>(c);
      out.append("\\u00");
      out += kHex[code >> 4];
      out += kHex[code & 15];
    }
  }
}

template <class T>
void append_float(std::string& out, T value) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    out += value > 0 ? "Infinity" : "-Infinity";
    return;
  }
  char digits[64];
  std::string_view text(digits, static_cast<size_t>(std::to_chars(digits, digits + sizeof digits, value).ptr - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

}  // namespace

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    size_t length = sequence_length(text);
    auto c = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      length = 1;
    } else if (c < 0x20 || c == '"' || c == '\\') {
      append_escape(out, text[0]);
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out += '"';
}

void append_json_float(std::string& out, float value) { append_float(out, value); }
void append_json_float(std::string& out, double value) { append_float(out, value); }

void append_json_shape(std::string& out, std::span<const int64_t> shape) {
  out += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ',';
    append_json_int(out, shape[i]);
  }
  out += ']';
}

void append_json_parameters(std::string& out, const api::Parameters& parameters) {
  out += '{';
  bool first = true;
  for (const auto& [key, value] : parameters) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, key);
    out += ':';
    if (const bool* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
    if (const int64_t* whole = std::get_if<int64_t>(&value)) append_json_int(out, *whole);
    if (const double* real = std::get_if<double>(&value)) append_json_float(out, *real);
    if (const std::string* text = std::get_if<std::string>(&value)) append_json_string(out, *text);
  }
  out += '}';
}

}  // namespace motet::http
