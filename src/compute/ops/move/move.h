// Ops that move elements without looking at them, and ops that make constants: plan functions for registry.cpp. They
// take any type, strings included. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// The same elements in the same order: Identity, Reshape, Flatten, Squeeze, Unsqueeze, Dropout (which does nothing
// here).
Result<KernelPtr> plan_copy(const NodeRequest& request);

// The same bytes as another type of the same size.
Result<KernelPtr> plan_bit_cast(const NodeRequest& request);

Result<KernelPtr> plan_transpose(const NodeRequest& request);
Result<KernelPtr> plan_expand(const NodeRequest& request);
Result<KernelPtr> plan_tile(const NodeRequest& request);
Result<KernelPtr> plan_slice(const NodeRequest& request);
Result<KernelPtr> plan_concat(const NodeRequest& request);
Result<KernelPtr> plan_split(const NodeRequest& request);
Result<KernelPtr> plan_channel_shuffle(const NodeRequest& request);  // our own op, see graph/passes.h
Result<KernelPtr> plan_depth_to_space(const NodeRequest& request);
Result<KernelPtr> plan_space_to_depth(const NodeRequest& request);
Result<KernelPtr> plan_pad(const NodeRequest& request);  // constant, reflect, edge, wrap

// An index out of range is reported through KernelArgs::fault and reads element 0 (or writes nothing) instead.
Result<KernelPtr> plan_gather(const NodeRequest& request);
Result<KernelPtr> plan_gather_elements(const NodeRequest& request);
Result<KernelPtr> plan_gather_nd(const NodeRequest& request);
Result<KernelPtr> plan_scatter_elements(const NodeRequest& request);
Result<KernelPtr> plan_scatter_nd(const NodeRequest& request);

// TensorScatter: rows of a cache replaced from a place per batch on; a place out of range is a fault.
Result<KernelPtr> plan_tensor_scatter(const NodeRequest& request);

// Results known when planned.
Result<KernelPtr> plan_constant(const NodeRequest& request);
Result<KernelPtr> plan_constant_of_shape(const NodeRequest& request);
Result<KernelPtr> plan_shape(const NodeRequest& request);  // Shape, Size
Result<KernelPtr> plan_range(const NodeRequest& request);
Result<KernelPtr> plan_eye_like(const NodeRequest& request);

Result<KernelPtr> plan_one_hot(const NodeRequest& request);
Result<KernelPtr> plan_trilu(const NodeRequest& request);
Result<KernelPtr> plan_reverse_sequence(const NodeRequest& request);

// Refuses: the extents of the result depend on the data (NonZero, Unique, Compress, NonMaxSuppression).
Result<KernelPtr> plan_data_dependent(const NodeRequest& request);

}  // namespace motet::ops
