// Attention as ONNX defines it: plan functions for table.cpp. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// Attention (opsets 23 to 25): grouped heads, a cache of keys and values, masks, causal and padded forms, softcap.
Result<KernelPtr> plan_attention(const NodeRequest& request);
// RotaryEmbedding (opset 23).
Result<KernelPtr> plan_rotary(const NodeRequest& request);

}  // namespace motet::ops
