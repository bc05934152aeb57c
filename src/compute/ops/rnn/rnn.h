// LSTM, GRU and RNN: forward, reverse and both; initial states, sequence lengths, peepholes, clip, both layouts. The
// inputs' product is made for all time steps at once, the states' step by step. f32 and f64. A sequence length out of
// range is reported through KernelArgs::fault. Any thread; each refusal tells its reason.
#pragma once

#include "compute/ops/kernel.h"

namespace motet::ops {

Result<KernelPtr> plan_lstm(const NodeRequest& request);
Result<KernelPtr> plan_packed_lstm(const NodeRequest& request);  // LSTM with constant weights, in f32
Result<KernelPtr> plan_gru(const NodeRequest& request);
Result<KernelPtr> plan_rnn(const NodeRequest& request);

}  // namespace motet::ops
