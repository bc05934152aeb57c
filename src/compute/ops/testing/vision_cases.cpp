// Samples, regions, blocks: positions chosen so that what is read there can be told by hand.
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

// Position `at` of an extent, from -1 to 1 over the centres of its first and last element.
double coordinate(double at, int64_t extent) { return 2 * at / static_cast<double>(extent - 1) - 1; }

void add_grid_samples(Cases& cases) {
  const Array x = cases.array({2, 3, 5, 7});
  // Whole positions: every mode reads the element itself. Halves between two columns: their mean.
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    Array grid = Array::filled({2, 4, 3, 2}, 0), y = Array::filled({2, 3, 4, 3}, 0);
    for_each_index({2, 4, 3}, [&](const Shape& i) {
      const int64_t row = cases.extent(0, 4), column = cases.extent(0, 6);
      grid.at({i[0], i[1], i[2], 0}) = static_cast<float>(coordinate(static_cast<double>(column), 7));
      grid.at({i[0], i[1], i[2], 1}) = coordinate(static_cast<double>(row), 5);
      for (int64_t c = 0; c < 3; ++c) y.at({i[0], c, i[1], i[2]}) = x.at({i[0], c, row, column});
    });
    for (const char* padding : {"zeros", "border", "reflection"})
      cases.add({.op = "GridSample",
                 .opset = 20,
                 .attributes = {{"mode", std::string(mode)},
                                {"align_corners", int64_t{1}},
                                {"padding_mode", std::string(padding)}},
                 .inputs = {f32_tensor(x), f32_tensor(grid)},
                 .expected = y,
                 .roundings = 32,
                 .floor = 2});
  }
  // One column beyond the edge: nothing, the last one, and the one before it again.
  Array grid = Array::filled({2, 1, 1, 2}, 0), zeros = Array::filled({2, 3, 1, 1}, 0), border = zeros,
        reflection = zeros;
  for (int64_t b = 0; b < 2; ++b) {
    grid.at({b, 0, 0, 0}) = static_cast<float>(coordinate(7, 7));
    for (int64_t c = 0; c < 3; ++c) {
      border.at({b, c, 0, 0}) = x.at({b, c, 2, 6});
      reflection.at({b, c, 0, 0}) = x.at({b, c, 2, 5});
    }
  }
  const std::pair<const char*, const Array*> forms[] = {
      {"zeros", &zeros}, {"border", &border}, {"reflection", &reflection}};
  for (auto [padding, y] : forms)
    cases.add({.op = "GridSample",
               .opset = 20,
               .attributes = {{"align_corners", int64_t{1}}, {"padding_mode", std::string(padding)}},
               .inputs = {f32_tensor(x), f32_tensor(grid)},
               .expected = *y,
               .roundings = 32,
               .floor = 2});
}

void add_affine_grid(Cases& cases) {
  const Array theta = cases.array({2, 2, 3});
  for (bool aligned : {false, true}) {
    Array y = Array::filled({2, 4, 5, 2}, 0);
    for_each_index(y.shape, [&](const Shape& i) {
      const auto h = static_cast<double>(i[1]), w = static_cast<double>(i[2]);
      const double across = aligned ? coordinate(w, 5) : (2 * w + 1) / 5 - 1;
      const double down = aligned ? coordinate(h, 4) : (2 * h + 1) / 4 - 1;
      y.at(i) = theta.at({i[0], i[3], 0}) * across + theta.at({i[0], i[3], 1}) * down + theta.at({i[0], i[3], 2});
    });
    cases.add({.op = "AffineGrid",
               .opset = 20,
               .attributes = {{"align_corners", int64_t{aligned}}},
               .inputs = {f32_tensor(theta), ints({2, 3, 4, 5})},
               .constant = {false, true},
               .expected = y,
               .roundings = 3,
               .floor = 4});
  }
}

void add_regions(Cases& cases) {
  const Array x = cases.array({2, 3, 4, 6});
  // The whole picture in bins of one pixel: the picture itself.
  Array whole = Array::filled({2, 3, 4, 6}, 0);
  for_each_index(whole.shape, [&](const Shape& i) { whole.at(i) = x.at({1 - i[0], i[1], i[2], i[3]}); });
  for (const char* mode : {"avg", "max"})
    cases.add({.op = "RoiAlign",
               .attributes = {{"output_height", int64_t{4}},
                              {"output_width", int64_t{6}},
                              {"sampling_ratio", int64_t{1}},
                              {"mode", std::string(mode)}},
               .inputs = {f32_tensor(std::string(mode) == "avg" ? x : sizes_of(x)),
                          f32_tensor({{2, 4}, {0, 0, 6, 4, 0, 0, 6, 4}}), ints({1, 0})},
               .expected = std::string(mode) == "avg" ? whole : sizes_of(whole)});
  // Rows 0 to 3 and columns 2 to 5 in four bins of two by two.
  Array largest = Array::filled({1, 3, 2, 2}, -9);
  for_each_index({3, 4, 4}, [&](const Shape& i) {
    double& v = largest.at({0, i[0], i[1] / 2, i[2] / 2});
    v = std::max(v, x.at({1, i[0], i[1], i[2] + 2}));
  });
  cases.add({.op = "MaxRoiPool",
             .attributes = {{"pooled_shape", std::vector<int64_t>{2, 2}}},
             .inputs = {f32_tensor(x), f32_tensor({{1, 5}, {1, 2, 0, 5, 3}})},
             .expected = largest});
}

void add_blocks(Cases& cases) {
  // Blocks of 2 x 3 over an image of 4 x 5 padded by 1 above, at every other row: 2 x 3 places.
  const Array x = cases.array({2, 2 * 6, 6});
  Array y = Array::filled({2, 2, 4, 5}, 0), size = y;
  for_each_index({2, 2, 2, 3, 2, 3}, [&](const Shape& i) {  // batch, channel, tap, place
    const int64_t row = i[4] * 2 + i[2] - 1, column = i[5] + i[3];
    if (row < 0 || row >= 4) return;
    const double v = x.at({i[0], i[1] * 6 + i[2] * 3 + i[3], i[4] * 3 + i[5]});
    y.at({i[0], i[1], row, column}) += v;
    size.at({i[0], i[1], row, column}) += std::abs(v);
  });
  cases.add({.op = "Col2Im",
             .opset = 18,
             .attributes = {{"strides", std::vector<int64_t>{2, 1}}, {"pads", std::vector<int64_t>{1, 0, 0, 0}}},
             .inputs = {f32_tensor(x), ints({4, 5}), ints({2, 3})},
             .constant = {false, true, true},
             .expected = y,
             .roundings = 6,
             .magnitude = size});
  const Array small = cases.array({1, 1, 2, 2});
  Array large = Array::filled({1, 1, 4, 4}, 0);
  const int64_t places[4] = {5, 6, 8, 15};
  for (size_t i = 0; i < 4; ++i) large.values[static_cast<size_t>(places[i])] = small.values[i];
  cases.add({.op = "MaxUnpool",
             .attributes = {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}},
             .inputs = {f32_tensor(small), Tensor::of<int64_t>({1, 1, 2, 2}, std::span<const int64_t>(places))},
             .expected = large});
  const Array wide = cases.array({5, 4, 3});
  Array cut = Array::filled({3, 4, 6}, 0);
  for_each_index({3, 4, 3}, [&](const Shape& i) { cut.at({i[0], i[1], i[2] + 1}) = wide.at({i[0] + 1, i[1], i[2]}); });
  cases.add({.op = "CenterCropPad",
             .opset = 18,
             .attributes = {{"axes", std::vector<int64_t>{0, 2}}},
             .inputs = {f32_tensor(wide), ints({3, 6})},
             .constant = {false, true},
             .expected = cut});
}

}  // namespace

void add_vision_cases(Cases& cases) {
  add_grid_samples(cases);
  add_affine_grid(cases);
  add_regions(cases);
  add_blocks(cases);
}

}  // namespace motet::ops::testing
