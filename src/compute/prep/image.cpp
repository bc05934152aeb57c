#include "compute/prep/image.h"

#include <png.h>
#include <turbojpeg.h>

#include <limits>
#include <memory>

namespace motet::prep {

namespace {

struct DestroyJpeg {
  void operator()(void* handle) const { tjDestroy(handle); }
};

Status check_size(int64_t width, int64_t height, std::string_view name) {
  if (width > 0 && height > 0 && width <= kMostPixels && height <= kMostPixels && width * height <= kMostPixels)
    return {};
  return resource_exhausted(std::string(name) + " has " + std::to_string(width) + " x " + std::to_string(height) +
                            " pixels; accepted are 1 to " + std::to_string(kMostPixels) + " pixels");
}

bool begins_with(std::span<const std::byte> bytes, std::string_view magic) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(magic);
}

// libpng's simplified interface keeps its long jumps to itself; this frees what it holds.
struct PngImage {
  png_image image{};
  PngImage() { image.version = PNG_IMAGE_VERSION; }
  ~PngImage() { png_image_free(&image); }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
};

}  // namespace

Result<Image> decode_jpeg(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.size() > std::numeric_limits<unsigned long>::max())
    return invalid_argument(std::string(name) + " is too large");
  std::unique_ptr<void, DestroyJpeg> handle(tjInitDecompress());
  if (!handle) return internal_error(std::string("no JPEG decoder: ") + tjGetErrorStr2(nullptr));
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  auto size = static_cast<unsigned long>(bytes.size());
  auto refuse = [&] {
    return invalid_argument(std::string(name) + " is not a JPEG that can be decoded: " + tjGetErrorStr2(handle.get()));
  };
  Image image;
  int subsampling = 0;
  int colorspace = 0;
  if (tjDecompressHeader3(handle.get(), data, size, &image.width, &image.height, &subsampling, &colorspace) != 0)
    return refuse();
  MOTET_RETURN_IF_ERROR(check_size(image.width, image.height, name));
  if (colorspace == TJCS_CMYK || colorspace == TJCS_YCCK) {
    return unsupported(std::string(name) + " is a CMYK JPEG; accepted are RGB and grey ones");
  }
  image.pixels.resize(static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
  // Warnings (a cut-off file, stray bytes) come back as failures too: half a photo is not the photo.
  int failed = tjDecompress2(handle.get(), data, size, image.pixels.data(), image.width, 0, image.height, TJPF_RGB,
                             TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
  if (failed != 0) return refuse();
  return image;
}

Result<Image> decode_png(std::span<const std::byte> bytes, std::string_view name) {
  PngImage png;
  auto refuse = [&] {
    return invalid_argument(std::string(name) + " is not a PNG that can be decoded: " + png.image.message);
  };
  if (png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()) == 0) return refuse();
  MOTET_RETURN_IF_ERROR(check_size(png.image.width, png.image.height, name));
  png.image.format = PNG_FORMAT_RGB;
  Image image;
  image.width = static_cast<int>(png.image.width);
  image.height = static_cast<int>(png.image.height);
  image.pixels.resize(static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
  png_color black{0, 0, 0};
  if (png_image_finish_read(&png.image, &black, image.pixels.data(), 0, nullptr) == 0) return refuse();
  return image;
}

Result<Image> decode_image(std::span<const std::byte> bytes, std::string_view name) {
  if (begins_with(bytes, "\xff\xd8\xff")) return decode_jpeg(bytes, name);
  if (begins_with(bytes, "\x89PNG\r\n\x1a\n")) return decode_png(bytes, name);
  return invalid_argument(std::string(name) + " is neither a JPEG nor a PNG; these two are accepted");
}

Result<std::string> encode_png(const Image& image) {
  PngImage png;
  png.image.width = static_cast<png_uint_32>(image.width);
  png.image.height = static_cast<png_uint_32>(image.height);
  png.image.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::string out(PNG_IMAGE_PNG_SIZE_MAX(png.image), '\0');
  png_alloc_size_t size = out.size();
  if (png_image_write_to_memory(&png.image, out.data(), &size, 0, image.pixels.data(), 0, nullptr) == 0) {
    return internal_error(std::string("cannot encode a PNG: ") + png.image.message);
  }
  out.resize(size);
  return out;
}

}  // namespace motet::prep
