// Which variant of a model answers its queries, from measured errors and predicted times. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"

namespace motet::brain {

struct Variant {
  std::string name;     // "exact", "bf16", ...
  std::string refusal;  // why it cannot be had here at all; "" if it can
  double error = 0;     // against the exact one, on data
  Nanos predicted;      // time of the same work
};

struct VariantChoice {
  size_t chosen = 0;
  std::vector<std::string> reasons;  // per variant: why it was passed over; "" for the chosen one
};

// The first of `variants` is the exact one, which may always be taken. Another may be taken if it can be had and its
// error is at most `max_error`; the figure is in the reason if it is not. Of those that may be taken: the last, or the
// one predicted to be fastest when `fastest` (of equals the one of the smaller error). REQUIRES: not empty.
VariantChoice choose_variant(std::span<const Variant> variants, double max_error, bool fastest);

// "0.0123": an error or a bound in words, three significant digits.
std::string error_text(double error);

}  // namespace motet::brain
