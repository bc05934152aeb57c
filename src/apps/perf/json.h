// Writes JSON, one value after another, commas and escapes taken care of. One thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace motet {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name) {
    separate();
    quote(name);
    text_ += ':';
    fresh_ = true;
    return *this;
  }
  JsonWriter& value(std::string_view s) {
    separate();
    quote(s);
    return *this;
  }
  JsonWriter& value(const char* s) { return value(std::string_view(s)); }
  JsonWriter& value(int64_t n) {
    separate();
    text_ += std::to_string(n);
    return *this;
  }
  JsonWriter& value(double x) {  // JSON has no infinities and no NaN
    separate();
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.9g", x);
    text_ += std::isfinite(x) ? buffer : "null";
    return *this;
  }
  template <class T>
  JsonWriter& field(std::string_view name, const T& v) {
    return key(name).value(v);
  }

  const std::string& text() const { return text_; }

 private:
  void separate() {
    if (!fresh_) text_ += ',';
    fresh_ = false;
  }
  JsonWriter& open(char c) {
    separate();
    text_ += c;
    fresh_ = true;
    return *this;
  }
  JsonWriter& close(char c) {
    text_ += c;
    fresh_ = false;
    return *this;
  }
  void quote(std::string_view s) {
    text_ += '"';
    for (char c : s) {
      auto u = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += c;
      } else if (u < 0x20) {
        char buffer[8];
        std::snprintf(buffer, sizeof buffer, "\\u%04x", u);
        text_ += buffer;
      } else {
        text_ += c;
      }
    }
    text_ += '"';
  }

  std::string text_;
  bool fresh_ = true;  // nothing to separate from
};

}  // namespace motet
