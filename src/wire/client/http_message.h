// KServe v2 over HTTP, as a client writes and reads it. Any thread may call.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/client/client.h"

namespace motet::client {

struct HttpReply {
  unsigned status = 0;
  std::string header_length;          // Inference-Header-Content-Length, "" when absent
  std::shared_ptr<std::string> body;  // never null
};

struct InferBody {
  std::string bytes;  // JSON, then the inputs
  size_t json_bytes = 0;
};

// Everything but unreserved characters as %XX.
std::string percent_encode(std::string_view text);
// "/v2/models/NAME[/versions/VERSION]/infer"
std::string infer_path(const Request& request);
InferBody encode_infer(const Request& request);

// The answer, or the Error that an HTTP status stands for with the server's own words. Tensors are views on the body.
Result<Response> decode_infer(const HttpReply& reply);
Result<ModelMetadata> decode_metadata(const HttpReply& reply);
Result<std::shared_ptr<const inference::ModelConfig>> decode_config(const HttpReply& reply);
// Nothing when the status is a success.
Status check_status(const HttpReply& reply);

}  // namespace motet::client
