#include <algorithm>
#include <cmath>

#include "compute/prep/outputs.h"
#include "compute/prep/resize.h"

namespace motet::prep {

namespace {

uint8_t to_byte(double v) { return static_cast<uint8_t>(std::clamp(std::floor(v + 0.5), 0.0, 255.0)); }

}  // namespace

// The model gives the luma (0 to 1); the chroma is the photo's, enlarged (ITU-R BT.601, full range, as JPEG has it).
Result<Findings> find_picture(const Context& context, std::span<const NamedTensor> outputs) {
  MOTET_ASSIGN(Numbers out, read_output(outputs, ""));
  size_t rank = out.shape.size();
  constexpr int64_t kMostSide = 32768;
  bool sound = rank >= 2 && out.shape[rank - 1] >= 1 && out.shape[rank - 2] >= 1 && out.shape[rank - 1] <= kMostSide &&
               out.shape[rank - 2] <= kMostSide &&
               out.shape[rank - 1] * out.shape[rank - 2] == static_cast<int64_t>(out.values.size());
  if (!sound) {
    return invalid_argument("image-ycbcr reads one plane [..,H,W]; output '" + out.name + "' has the shape " +
                            shape_to_string(out.shape));
  }
  if (context.photo.pixels.empty()) return invalid_argument("image-ycbcr needs the photo it began with");
  auto width = static_cast<int>(out.shape[rank - 1]);
  auto height = static_cast<int>(out.shape[rank - 2]);
  Image image = resize(context.photo, context.region, width, height, Filter::kBicubic);
  for (size_t i = 0; i < out.values.size(); ++i) {
    uint8_t* rgb = image.pixels.data() + i * 3;
    double old_luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    double cb = 0.564334 * (rgb[2] - old_luma);
    double cr = 0.713267 * (rgb[0] - old_luma);
    double y = std::isfinite(out.values[i]) ? 255.0 * out.values[i] : old_luma;
    rgb[0] = to_byte(y + 1.402 * cr);
    rgb[1] = to_byte(y - 0.344136 * cb - 0.714136 * cr);
    rgb[2] = to_byte(y + 1.772 * cb);
  }
  Findings findings;
  findings.image = std::move(image);
  return findings;
}

}  // namespace motet::prep
