// Signal processing: plan functions for table.cpp. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

// DFT (opsets 17 and 20) along one axis, forward and inverse, one-sided too; by its definition, in n^2 steps.
Result<KernelPtr> plan_dft(const NodeRequest& request);
Result<KernelPtr> plan_stft(const NodeRequest& request);
// HannWindow, HammingWindow, BlackmanWindow: known once their size is.
Result<KernelPtr> plan_signal_window(const NodeRequest& request);
Result<KernelPtr> plan_mel_weight_matrix(const NodeRequest& request);

}  // namespace motet::ops
