// Copies between layouts: every element lands where the other layout has it, and padding is zeros, in one part and in
// many run one by one.
#include <gtest/gtest.h>

#include <cstring>

#include "base/clock.h"
#include "compute/device/slice_team.h"
#include "compute/ops/registry.h"

namespace motet::ops {
namespace {

// Where a tensor of four dims in `layout` has an element, counted in elements.
int64_t place(const Shape& shape, Layout layout, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t channels = shape[1], height = shape[2], width = shape[3];
  if (layout == Layout::kRowMajor) return ((n * channels + c) * height + h) * width + w;
  if (layout == Layout::kNhwc) return ((n * height + h) * width + w) * channels + c;
  const int64_t block = layout == Layout::kNChw8c ? 8 : 16;
  const int64_t blocks = (channels + block - 1) / block;
  return (((n * blocks + c / block) * height + h) * width + w) * block + c % block;
}

// Elements numbered from 1, and zeros in the padding.
std::vector<uint32_t> numbered(const TensorSpec& spec) {
  std::vector<uint32_t> data(spec.bytes() / 4);
  uint32_t number = 0;
  for (int64_t n = 0; n < spec.shape[0]; ++n)
    for (int64_t c = 0; c < spec.shape[1]; ++c)
      for (int64_t h = 0; h < spec.shape[2]; ++h)
        for (int64_t w = 0; w < spec.shape[3]; ++w)
          data[static_cast<size_t>(place(spec.shape, spec.layout, n, c, h, w))] = ++number;
  return data;
}

TensorView view_of(const TensorSpec& spec, std::vector<uint32_t>& data) {
  return {spec.dtype, spec.shape, reinterpret_cast<std::byte*>(data.data())};
}

void expect_copied(const TensorSpec& from, const TensorSpec& to, int parts) {
  auto kernel = plan_reorder(from, to, parts);
  ASSERT_TRUE(kernel.ok()) << kernel.error().message;
  std::vector<uint32_t> source = numbered(from), target(to.bytes() / 4, 0xFFFFFFFF);
  const std::vector<uint32_t> want = numbered(to);
  const Tensor scratch = Tensor::zeros(DType::kU8, {static_cast<int64_t>((*kernel)->scratch_bytes())});
  const TensorView in = view_of(from, source), out = view_of(to, target);
  const KernelArgs args{.inputs = {&in, 1}, .outputs = {&out, 1}, .scratch = scratch.view().data};
  const SteadyClock clock;
  device::SurveyTeam survey(parts, clock);
  (*kernel)->run(args, survey);
  survey.finish();
  EXPECT_EQ(target, want) << (*kernel)->implementation() << " in " << parts << " parts, whole";
  std::fill(target.begin(), target.end(), 0xFFFFFFFF);
  device::SliceTeam slices(device::Team::serial(), parts);
  for (int unit = 0; unit < survey.table().total; ++unit) {
    slices.select(survey.table(), unit, unit + 1);
    (*kernel)->run(args, slices);
  }
  EXPECT_EQ(target, want) << (*kernel)->implementation() << " in " << parts << " parts, one by one";
}

TEST(Reorder, EveryPairOfLayoutsOfEveryShapeInAnyParts) {
  const Shape shapes[] = {{2, 2, 40, 37}, {3, 8, 9, 70}, {1, 1, 64, 64}, {2, 5, 1, 3}, {2, 16, 7, 9}, {1, 19, 33, 8}};
  constexpr Layout kLayouts[] = {Layout::kRowMajor, Layout::kNhwc, Layout::kNChw8c, Layout::kNChw16c};
  for (const Shape& shape : shapes)
    for (Layout from : kLayouts)
      for (Layout to : kLayouts)
        for (DType dtype : {DType::kF32, DType::kI32})
          for (int parts : {1, 7}) {
            if (from == to) continue;
            SCOPED_TRACE(shape_to_string(shape) + " of layout " + std::to_string(static_cast<int>(from)) + " as " +
                         std::to_string(static_cast<int>(to)));
            expect_copied({dtype, shape, from}, {dtype, shape, to}, parts);
          }
}

}  // namespace
}  // namespace motet::ops
