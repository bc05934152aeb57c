// Normalisations and softmaxes: plan functions for registry.cpp. f32 and f64 (narrower floats come here as f32). Any
// thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_softmax(
    const NodeRequest& request);  // Softmax, LogSoftmax, Hardmax; coerced to two extents before 13
Result<KernelPtr> plan_batch_norm(const NodeRequest& request);  // inference form
Result<KernelPtr> plan_layer_norm(const NodeRequest& request);  // with Mean and InvStdDev if asked for
Result<KernelPtr> plan_rms_norm(const NodeRequest& request);    // RMSNormalization, SimplifiedLayerNormalization
Result<KernelPtr> plan_instance_norm(const NodeRequest& request);
Result<KernelPtr> plan_group_norm(const NodeRequest& request);
Result<KernelPtr> plan_group_norm_of_pixels(const NodeRequest& request);  // opset 21, f32, any layout but row-major
Result<KernelPtr> plan_lrn(const NodeRequest& request);
Result<KernelPtr> plan_lp_norm(const NodeRequest& request);

}  // namespace motet::ops
