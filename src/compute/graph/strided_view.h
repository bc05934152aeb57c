// A view of a tensor as offset and strides over the memory of another, traced back through the nodes that only move
// elements: how a fused op reads its operands where they were made. One thread at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "compute/graph/rewrite.h"

namespace motet::graph {

struct StridedView {
  ValueId source = kNoValue;
  int64_t offset = 0;            // in elements of the source, row-major
  Shape extents;                 // of the view
  std::vector<int64_t> strides;  // in elements; 0 where it repeats, or where the extent is 1
  double scale = 1;              // the view's elements are the source's times this
};

// The value itself, seen with its own extents. Nothing if they are not all known.
std::optional<StridedView> view_of(const Rewriter& rewriter, ValueId id);

// The same elements as a view on what the source is made from, if its maker is a Transpose, Reshape, Squeeze,
// Unsqueeze, Flatten, Identity, Split, Slice, Expand, a Gather of one place, or a Mul or Div by one constant. Nothing
// if it is not, or if the view cannot be told in strides there.
std::optional<StridedView> step_back(const Rewriter& rewriter, const StridedView& view);

}  // namespace motet::graph
