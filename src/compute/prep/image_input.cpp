#include <algorithm>
#include <cmath>

#include "compute/prep/inputs.h"

namespace motet::prep {

namespace {

struct Extents {
  Shape shape;
  int channels = 0;
  int width = 0;
  int height = 0;
};

// The input's shape with everything known: [1,]C,H,W or [1,]H,W,C.
Result<Extents> find_extents(const ImageRecipe& r, const InputSpec& input) {
  Extents e;
  e.channels = r.color == Color::kGray || r.color == Color::kY ? 1 : 3;
  size_t rank = input.shape.size();
  auto refuse = [&](const std::string& why) {
    return invalid_argument("input '" + input.name + "' of shape " + shape_to_string(input.shape) + ": " + why);
  };
  if (rank != 3 && rank != 4) return refuse("an image has 3 dimensions, or 4 with the batch");
  e.shape = input.shape;
  size_t first = rank - 3;
  int64_t& channels = e.shape[first + (r.nhwc ? 2 : 0)];
  int64_t& height = e.shape[first + (r.nhwc ? 0 : 1)];
  int64_t& width = e.shape[first + (r.nhwc ? 1 : 2)];
  if (rank == 4) {
    if (e.shape[0] != -1 && e.shape[0] != 1) return refuse("a batch of exactly one image is needed");
    e.shape[0] = 1;
  }
  if (channels != -1 && channels != e.channels)
    return refuse("recipe.color gives " + std::to_string(e.channels) + " channels");
  channels = e.channels;
  auto settle = [&](int64_t& extent, int wanted, const char* what) -> Status {
    if (wanted != 0 && extent != -1 && extent != wanted) {
      return refuse(std::string("recipe.size asks for a ") + what + " of " + std::to_string(wanted));
    }
    if (extent == -1) extent = wanted;
    if (extent < 1 || extent > 8192) return refuse(std::string("recipe.size must give its ") + what + ", 1 to 8192");
    return {};
  };
  MOTET_RETURN_IF_ERROR(settle(width, r.width, "width"));
  MOTET_RETURN_IF_ERROR(settle(height, r.height, "height"));
  e.width = static_cast<int>(width);
  e.height = static_cast<int>(height);
  return e;
}

// The greatest central part of the photo with the input's aspect, shrunk by recipe.crop; or all of it.
Region find_region(const ImageRecipe& r, const Image& photo, const Extents& e) {
  if (r.crop <= 0) return {0, 0, static_cast<double>(photo.width), static_cast<double>(photo.height)};
  double scale =
      std::min(static_cast<double>(photo.width) / e.width, static_cast<double>(photo.height) / e.height) * r.crop;
  double width = std::max(1.0, std::floor(e.width * scale));
  double height = std::max(1.0, std::floor(e.height * scale));
  return {std::floor((photo.width - width) / 2), std::floor((photo.height - height) / 2), width, height};
}

// ITU-R BT.601 luma, full range (JPEG).
float luma(const uint8_t* rgb) {
  return 0.299F * static_cast<float>(rgb[0]) + 0.587F * static_cast<float>(rgb[1]) +
         0.114F * static_cast<float>(rgb[2]);
}

float value_of(const ImageRecipe& r, const uint8_t* rgb, int channel) {
  float byte = 0;
  switch (r.color) {
    case Color::kRgb: byte = rgb[channel]; break;
    case Color::kBgr: byte = rgb[2 - channel]; break;
    case Color::kGray:
    case Color::kY: byte = std::floor(luma(rgb) + 0.5F); break;
  }
  if (r.invert) byte = 255 - byte;
  double mean = r.mean.size() == 1 ? r.mean[0] : r.mean[static_cast<size_t>(channel)];
  double std = r.std.size() == 1 ? r.std[0] : r.std[static_cast<size_t>(channel)];
  return static_cast<float>((byte * r.scale - mean) / std);
}

}  // namespace

Result<Prepared> prepare_image(const Recipe& recipe, const Source& source, std::span<const InputSpec> inputs) {
  MOTET_ASSIGN(const InputSpec* input, data_input(recipe, inputs));
  MOTET_ASSIGN(Extents e, find_extents(recipe.image, *input));
  Prepared prepared;
  MOTET_ASSIGN(prepared.context.photo, decode_image(source.bytes, source.name));
  prepared.context.region = find_region(recipe.image, prepared.context.photo, e);
  Image small = resize(prepared.context.photo, prepared.context.region, e.width, e.height, recipe.image.filter);
  std::vector<float> values(static_cast<size_t>(e.width) * static_cast<size_t>(e.height) *
                            static_cast<size_t>(e.channels));
  for (int y = 0; y < e.height; ++y) {
    for (int x = 0; x < e.width; ++x) {
      for (int c = 0; c < e.channels; ++c) {
        int64_t at =
            recipe.image.nhwc ? (int64_t{y} * e.width + x) * e.channels + c : (int64_t{c} * e.height + y) * e.width + x;
        values[static_cast<size_t>(at)] = value_of(recipe.image, small.at(x, y), c);
      }
    }
  }
  MOTET_ASSIGN(Tensor tensor, tensor_of(*input, e.shape, values));
  prepared.calls.push_back({{input->name, std::move(tensor)}});
  return prepared;
}

}  // namespace motet::prep
