// gzip and deflate (zlib format) of whole bodies, in and out. Pure; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/front/http/body.h"
#include "wire/front/http/exchange.h"

namespace motet::http {

enum class Encoding : unsigned char { kIdentity, kGzip, kDeflate };

// kUnsupported for anything but "", "identity", "gzip", "x-gzip" and "deflate", in any case.
Result<Encoding> content_encoding(std::string_view header);
// The one a client likes best of those we speak, by its q-values; the first of equals; kIdentity if it names none.
Encoding preferred_encoding(std::string_view accept_encoding);

// Refuses broken input, bytes after its end, and (kResourceExhausted) more than `max_bytes` of output: a small body
// must not become a large one. `aligned_at` as in Body.
Result<std::shared_ptr<const Body>> inflate_body(const Body& body, size_t max_bytes, size_t aligned_at);

// The whole body of `reply` as one compressed text; sets content_encoding.
void deflate_reply(HttpReply& reply, Encoding encoding);

}  // namespace motet::http
