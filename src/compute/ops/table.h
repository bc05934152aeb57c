// The table op -> implementations, in rows by family. Lookups go through registry.h; this is for registry.cpp and for
// tests that walk over everything there is.
#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <string_view>

#include "compute/ops/registry.h"

namespace motet::ops {

struct Row {
  std::string_view domain, op;
  std::array<Implementation, 5> list{};
  size_t count = 0;

  constexpr Row(std::string_view row_domain, std::string_view row_op,
                std::initializer_list<Implementation> implementations)
      : domain(row_domain), op(row_op) {
    for (const Implementation& implementation : implementations) list[count++] = implementation;
  }
};

std::span<const std::span<const Row>> all_rows();

}  // namespace motet::ops
