// A table in plain text: columns as wide as their widest cell, numbers to the right. Plain value, one thread.
#pragma once

#include <string>
#include <vector>

namespace motet::term {

class Table {
 public:
  explicit Table(std::vector<std::string> header);
  // REQUIRES: as many cells as the header has.
  void row(std::vector<std::string> cells);
  // Header, a rule, and the rows, each line ending in '\n'.
  std::string to_string() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the header first
};

}  // namespace motet::term
