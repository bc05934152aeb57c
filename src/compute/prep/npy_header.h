// The header of a .npy file as values. Internal to npy.cpp and its test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/tensor/shape.h"

namespace motet::prep {

struct NpyHeader {
  char kind = 0;              // numpy's letter: b u i f V S U
  int64_t element_bytes = 0;  // in the file
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
};

// Parses the header's text, a Python dictionary with exactly the keys descr, fortran_order and shape.
Result<NpyHeader> parse_npy_header(std::string_view text);

}  // namespace motet::prep
