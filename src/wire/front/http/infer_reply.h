// A KServe v2 infer answer: JSON, with the tensors that the client wants as binary behind it. Binary tensors are not
// copied: the reply's pieces keep them alive. Pure; any thread.
#pragma once

#include "wire/api/api.h"
#include "wire/front/http/exchange.h"
#include "wire/front/http/infer_request.h"

namespace motet::http {

// An error reply (400) for what JSON cannot carry: FP16, BF16, and BYTES that are not UTF-8.
HttpReply infer_reply(const api::InferResponse& response, const OutputFormat& format);

}  // namespace motet::http
