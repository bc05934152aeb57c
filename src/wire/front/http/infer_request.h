// A KServe v2 infer request out of a received body: JSON, or JSON and binary tensors (Inference-Header-Content-Length),
// or one raw tensor (length 0). Binary tensors are views on the body when they are aligned for their type, else copies.
// All that does not depend on the model is checked here: syntax, types, ranges, sizes. Pure; any thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "wire/api/api.h"
#include "wire/front/http/body.h"

namespace motet::http {

// How the client wants each output.
struct OutputFormat {
  bool binary_default = false;
  std::map<std::string, bool, std::less<>> binary;  // per output, where it was said
  bool is_binary(std::string_view name) const {
    auto at = binary.find(name);
    return at == binary.end() ? binary_default : at->second;
  }
};

struct InferBody {
  api::InferRequest request;  // model, version, arrival and principal are the caller's to fill
  OutputFormat format;
};

// `json_length`: the header's text, nothing when there is none.
Result<InferBody> parse_infer(const std::shared_ptr<const Body>& body, const std::optional<std::string>& json_length);

}  // namespace motet::http
