// ChannelShuffle (Zhang et al., 2018): channel c = i * (C / groups) + j of group i goes to place j * groups + i.
#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

constexpr int64_t kBytesPerPart = 65536;

// Whole planes change places.
KernelPtr shuffle_planes(const Shape& shape, int64_t groups, size_t element_bytes) {
  const int64_t channels = shape[1], each = channels / groups;
  const auto plane = static_cast<size_t>(shape[2] * shape[3]) * element_bytes;
  const int64_t grain = kBytesPerPart / static_cast<int64_t>(plane + 1) + 1;
  return make_kernel([=, planes = shape[0] * channels](const KernelArgs& args, device::Team& team) {
    team.for_range(planes, grain, [&](int64_t begin, int64_t end) {
      for (int64_t to = begin; to < end; ++to) {
        const int64_t c = to % channels;
        const int64_t from = to - c + c % groups * each + c / groups;
        std::memcpy(args.outputs[0].data + static_cast<size_t>(to) * plane,
                    args.inputs[0].data + static_cast<size_t>(from) * plane, plane);
      }
    });
  });
}

// One pixel: groups rows of `each` become `each` rows of groups.
template <class T>
void interleave(const T* from, T* to, int64_t groups, int64_t each) {
  if (groups == 2) {  // as ShuffleNetV2 has it; the compiler's own unpacking
    for (int64_t j = 0; j < each; ++j) {
      to[2 * j] = from[j];
      to[2 * j + 1] = from[each + j];
    }
    return;
  }
  for (int64_t j = 0; j < each; ++j)
    for (int64_t i = 0; i < groups; ++i) to[j * groups + i] = from[i * each + j];
}

template <class T>
KernelPtr shuffle_pixels(const Shape& shape, int64_t groups) {
  const int64_t channels = shape[1], each = channels / groups;
  const int64_t grain = kBytesPerPart / (channels * static_cast<int64_t>(sizeof(T))) + 1;
  return make_kernel(
      [=, pixels = shape[0] * shape[2] * shape[3]](const KernelArgs& args, device::Team& team) {
        team.for_range(pixels, grain, [&](int64_t begin, int64_t end) {
          for (int64_t p = begin; p < end; ++p)
            interleave(input_data<T>(args, 0) + p * channels, output_data<T>(args, 0) + p * channels, groups, each);
        });
      },
      {.input_layouts = {Layout::kNhwc}, .output_layout = Layout::kNhwc});
}

}  // namespace

Result<KernelPtr> plan_channel_shuffle(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 1, 1));
  const TensorSpec& in = request.inputs[0];
  const int64_t groups = request.node.int_or("groups", 0);
  if (in.shape.size() != 4 || groups < 1 || in.shape[1] < 1 || in.shape[1] % groups != 0)
    return unsupported(std::to_string(groups) + " groups of " + describe(in));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, in.dtype, in.shape));
  const size_t bytes = dtype_bytes(in.dtype);
  if (in.dtype == DType::kString) return unsupported("strings");
  if (in.layout == Layout::kNhwc && bytes == 4) return shuffle_pixels<uint32_t>(in.shape, groups);
  if (in.layout == Layout::kNhwc && bytes == 2) return shuffle_pixels<uint16_t>(in.shape, groups);
  return shuffle_planes(in.shape, groups, bytes);
}

}  // namespace motet::ops
