// Attention of many heads over strided operands, without the scores in memory: what the pass fuse-attention makes of
// its parts (graph/pass_fuse_attention.cpp). Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// Node "motet:Attention": inputs Q, K, V and, if there is one, a mask that is added to the scores. Q, K, V and the result
// are f32 or, where the CPU has AVX512_BF16, bf16; the mask is f32. Attributes:
// extents: batch, heads, rows (queries), keys, depth (elements of a key), width (elements of a value);
// q, k, v, mask, out: where element (batch, head, row, column) lies, as offset and four strides in elements (k's rows
//   are keys and its columns depth; mask's are queries and keys);
// scale: of the scores; zero_masked: 1 if a row whose weights are not numbers gives zeros; shape: of the result.
Result<KernelPtr> plan_fused_attention(const NodeRequest& request);

}  // namespace motet::ops
