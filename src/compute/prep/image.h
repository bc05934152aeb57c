// Images: 8-bit, interleaved, RGB or grey; decoded from JPEG and PNG, encoded as PNG. Any thread. Decoders accept
// hostile bytes: limits are checked before memory is taken, and what a library reports comes back as an Error naming
// the file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace motet::prep {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 3;             // 3: RGB, 1: grey
  std::vector<uint8_t> pixels;  // height x width x channels

  const uint8_t* at(int x, int y) const { return pixels.data() + (static_cast<size_t>(y) * width + x) * channels; }
  uint8_t* at(int x, int y) { return pixels.data() + (static_cast<size_t>(y) * width + x) * channels; }
};

// width x height may not exceed it.
inline constexpr int64_t kMostPixels = int64_t{1} << 27;

// A JPEG or PNG file, told apart by its first bytes, as RGB; transparency is laid over black. `name` is for errors.
Result<Image> decode_image(std::span<const std::byte> bytes, std::string_view name);
Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::string_view name);
Result<Image> decode_png(std::span<const std::byte> bytes, std::string_view name);
Result<std::string> encode_png(const Image& image);

}  // namespace motet::prep
