#include "compute/prep/npy_header.h"

#include <charconv>

namespace motet::prep {

namespace {

// Reads the few Python literals that occur, from left to right.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  void skip_space() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\t' || text_[0] == '\n' || text_[0] == '\r'))
      text_.remove_prefix(1);
  }
  bool take(char c) {
    skip_space();
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view word) {
    skip_space();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  // 'text' or "text", without escapes.
  bool take_string(std::string_view& value) {
    skip_space();
    if (text_.empty() || (text_[0] != '\'' && text_[0] != '"')) return false;
    size_t end = text_.find(text_[0], 1);
    if (end == std::string_view::npos) return false;
    value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return true;
  }
  bool take_int(int64_t& value) {
    skip_space();
    auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc()) return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    if (!text_.empty() && text_[0] == 'L') text_.remove_prefix(1);  // Python 2's long
    return true;
  }
  bool at_end() {
    skip_space();
    return text_.empty();
  }
  std::string rest() const { return std::string(text_.substr(0, 24)); }

 private:
  std::string_view text_;
};

Status read_descr(std::string_view descr, NpyHeader& header) {
  auto refuse = [&] {
    return unsupported("element type '" + std::string(descr) +
                       "' of a .npy array; accepted are bool, u1 to u8, i1 to i8, f2, f4, f8, V2 (bfloat16), S and U");
  };
  if (descr.size() < 3) return refuse();
  char order = descr[0];
  if (order != '<' && order != '>' && order != '|' && order != '=') return refuse();
  header.big_endian = order == '>';
  header.kind = descr[1];
  auto [end, error] = std::from_chars(descr.data() + 2, descr.data() + descr.size(), header.element_bytes);
  if (error != std::errc() || end != descr.data() + descr.size() || header.element_bytes < 0) return refuse();
  if (header.kind == 'U') {
    std::optional<int64_t> bytes = checked_multiply(header.element_bytes, 4);
    if (!bytes) return refuse();
    header.element_bytes = *bytes;
  }
  return {};
}

Status read_shape(Scanner& scanner, NpyHeader& header) {
  if (!scanner.take('(')) return invalid_argument("shape of a .npy header is not a tuple: " + scanner.rest());
  constexpr size_t kMostDimensions = 32;
  while (!scanner.take(')')) {
    int64_t extent = 0;
    if (!scanner.take_int(extent) || extent < 0)
      return invalid_argument("bad extent in a .npy header: " + scanner.rest());
    header.shape.push_back(extent);
    if (header.shape.size() > kMostDimensions) return invalid_argument("a .npy array of more than 32 dimensions");
    if (!scanner.take(',')) {
      if (!scanner.take(')')) return invalid_argument("unfinished shape in a .npy header: " + scanner.rest());
      break;
    }
  }
  return {};
}

}  // namespace

Result<NpyHeader> parse_npy_header(std::string_view text) {
  Scanner scanner(text);
  NpyHeader header;
  bool has_descr = false;
  bool has_order = false;
  bool has_shape = false;
  if (!scanner.take('{')) return invalid_argument("a .npy header is not a dictionary: " + scanner.rest());
  while (!scanner.take('}')) {
    std::string_view key;
    if (!scanner.take_string(key) || !scanner.take(':'))
      return invalid_argument("bad key in a .npy header: " + scanner.rest());
    if (key == "descr") {
      std::string_view descr;
      if (!scanner.take_string(descr)) return unsupported("structured element types of .npy arrays: " + scanner.rest());
      MOTET_RETURN_IF_ERROR(read_descr(descr, header));
      has_descr = true;
    } else if (key == "fortran_order") {
      header.fortran_order = scanner.take_word("True");
      if (!header.fortran_order && !scanner.take_word("False"))
        return invalid_argument("fortran_order is " + scanner.rest());
      has_order = true;
    } else if (key == "shape") {
      header.shape.clear();
      MOTET_RETURN_IF_ERROR(read_shape(scanner, header));
      has_shape = true;
    } else {
      return invalid_argument("unknown key '" + std::string(key) + "' in a .npy header");
    }
    if (!scanner.take(',')) {
      if (!scanner.take('}')) return invalid_argument("unfinished .npy header: " + scanner.rest());
      break;
    }
  }
  if (!has_descr || !has_order || !has_shape) {
    return invalid_argument("a .npy header without descr, fortran_order or shape");
  }
  if (!scanner.at_end()) return invalid_argument("text after a .npy header: " + scanner.rest());
  return header;
}

}  // namespace motet::prep
