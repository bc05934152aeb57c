#include "wire/front/http/compression.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <span>

#include "base/check.h"

namespace motet::http {
namespace {

constexpr int kAutoDetect = 15 + 32;  // window bits: zlib or gzip, by its header
constexpr int kGzipWindow = 15 + 16;
constexpr size_t kChunkBytes = 64 << 10;
// Fast: answers are mostly float32, which hardly compresses at any level.
constexpr int kLevel = 1;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<Encoding> encoding_of(std::string_view name) {
  std::string low = lower(trim(name));
  if (low.empty() || low == "identity") return Encoding::kIdentity;
  if (low == "gzip" || low == "x-gzip") return Encoding::kGzip;
  if (low == "deflate") return Encoding::kDeflate;
  return std::nullopt;
}

// "gzip;q=0.5": 0.5; 1 when there is none, 0 when it is malformed.
double quality(std::string_view parameters) {
  std::string_view text = trim(parameters);
  if (text.empty()) return 1;
  if (text.size() < 3 || (text[0] != 'q' && text[0] != 'Q') || text[1] != '=') return 0;
  double q = 0;
  auto read = std::from_chars(text.data() + 2, text.data() + text.size(), q);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() && q >= 0 && q <= 1 ? q : 0;
}

// zlib counts in unsigned int.
uInt clamp_size(size_t bytes) { return static_cast<uInt>(std::min<size_t>(bytes, std::numeric_limits<uInt>::max())); }

}  // namespace

Result<Encoding> content_encoding(std::string_view header) {
  if (auto encoding = encoding_of(header)) return *encoding;
  return unsupported("Content-Encoding '" + std::string(header) +
                     "' is not supported: send gzip, deflate or no compression");
}

Encoding preferred_encoding(std::string_view accept_encoding) {
  Encoding best = Encoding::kIdentity;
  double best_q = 0;
  while (!accept_encoding.empty()) {
    size_t comma = accept_encoding.find(',');
    std::string_view item = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(comma == std::string_view::npos ? accept_encoding.size() : comma + 1);
    size_t semicolon = item.find(';');
    auto encoding = encoding_of(item.substr(0, semicolon));
    double q = semicolon == std::string_view::npos ? 1 : quality(item.substr(semicolon + 1));
    if (encoding && q > best_q && !trim(item).empty()) {
      best = *encoding;
      best_q = q;
    }
  }
  return best;
}

Result<std::shared_ptr<const Body>> inflate_body(const Body& body, size_t max_bytes, size_t aligned_at) {
  z_stream stream{};
  MOTET_CHECK(inflateInit2(&stream, kAutoDetect) == Z_OK, "zlib starts");
  auto out = std::make_shared<Body>(std::min(max_bytes, body.size() * 4), aligned_at);
  std::span<const std::byte> left = body.bytes();
  int state = Z_OK;
  std::optional<Error> error;
  while (!error && state != Z_STREAM_END) {
    // One byte beyond the limit is enough to know.
    auto room = out->room(std::min(kChunkBytes, max_bytes - out->size() + 1));
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(left.data()));
    stream.avail_in = clamp_size(left.size());
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    uInt room_bytes = clamp_size(std::min(room.size(), max_bytes - out->size() + 1));
    stream.avail_out = room_bytes;
    state = inflate(&stream, Z_NO_FLUSH);
    left = left.subspan(static_cast<size_t>(reinterpret_cast<const std::byte*>(stream.next_in) - left.data()));
    out->grow(room_bytes - stream.avail_out);
    if (out->size() > max_bytes) {
      error = resource_exhausted("the body grows beyond the limit of " + std::to_string(max_bytes) +
                                 " bytes when it is decompressed");
    } else if (state != Z_OK && state != Z_STREAM_END) {
      error = invalid_argument("the compressed body is broken after " + std::to_string(body.size() - left.size()) +
                               " of its " + std::to_string(body.size()) +
                               " bytes: " + (stream.msg != nullptr ? stream.msg : "it ends too early"));
    }
  }
  inflateEnd(&stream);
  if (!error && !left.empty())
    error = invalid_argument(std::to_string(left.size()) + " bytes follow the end of the compressed body");
  if (error) return *std::move(error);
  return std::shared_ptr<const Body>(std::move(out));
}

void deflate_reply(HttpReply& reply, Encoding encoding) {
  if (encoding == Encoding::kIdentity) return;
  z_stream stream{};
  int window = encoding == Encoding::kGzip ? kGzipWindow : 15;
  MOTET_CHECK(deflateInit2(&stream, kLevel, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib starts");
  std::string out;
  auto feed = [&stream, &out](const void* data, size_t bytes, bool last) {
    auto* at = static_cast<Bytef*>(const_cast<void*>(data));
    do {
      uInt take = clamp_size(bytes);
      stream.next_in = at;
      stream.avail_in = take;
      bool final_part = last && take == bytes;
      do {
        size_t before = out.size();
        out.resize(before + kChunkBytes);
        stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
        stream.avail_out = kChunkBytes;
        deflate(&stream, final_part ? Z_FINISH : Z_NO_FLUSH);
        out.resize(before + kChunkBytes - stream.avail_out);
      } while (stream.avail_out == 0);
      at += take;
      bytes -= take;
    } while (bytes > 0);
  };
  feed(reply.text.data(), reply.text.size(), reply.pieces.empty());
  for (size_t i = 0; i < reply.pieces.size(); ++i)
    feed(reply.pieces[i].data, reply.pieces[i].bytes, i + 1 == reply.pieces.size());
  deflateEnd(&stream);
  reply.text = std::move(out);
  reply.pieces.clear();
  reply.content_encoding = encoding == Encoding::kGzip ? "gzip" : "deflate";
}

}  // namespace motet::http
