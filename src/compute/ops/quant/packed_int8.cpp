#include "compute/ops/quant/packed_int8.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "compute/graph/file_map.h"
#include "compute/ops/vector/int8.h"

namespace motet::ops {
namespace {

using vec::kInt8Columns;
using vec::kQuad;

constexpr float kMost = 127;

struct Extents {
  int64_t depth, columns;
  int64_t panels() const { return (columns + kInt8Columns - 1) / kInt8Columns; }
  int64_t padded() const { return panels() * kInt8Columns; }
};

// The three parts of the packed form. Each is a multiple of 64 bytes, as panels are of 128.
struct Parts {
  float* scales;
  int32_t* sums;
  int8_t* numbers;
  Parts(std::byte* memory, const Extents& e)
      : scales(reinterpret_cast<float*>(memory)),
        sums(reinterpret_cast<int32_t*>(scales + e.padded())),
        numbers(reinterpret_cast<int8_t*>(sums + e.padded())) {}
};

// Calls put(row of the depth, numbers of that row) with the columns of `panel`, in f32; those beyond the last are
// zeros.
template <class F>
void each_row(const std::byte* data, const Extents& e, bool turned, int64_t panel, F&& put) {
  const int64_t first = panel * kInt8Columns, count = std::min(kInt8Columns, e.columns - first);
  std::array<float, kInt8Columns> row{};
  for (int64_t i = 0; i < e.depth; ++i) {
    if (!turned) {  // the file may hold it at any alignment
      std::memcpy(row.data(), data + (i * e.columns + first) * 4, static_cast<size_t>(count) * 4);
    } else {
      for (int64_t c = 0; c < count; ++c)
        std::memcpy(&row[static_cast<size_t>(c)], data + ((first + c) * e.depth + i) * 4, 4);
    }
    put(i, row);
  }
}

void quantise_panel(const std::byte* data, const Extents& e, bool turned, int64_t panel, const Parts& to) {
  std::array<float, kInt8Columns> most{}, inverse{}, defects{};
  each_row(data, e, turned, panel, [&](int64_t, const auto& row) {
    for (size_t c = 0; c < row.size(); ++c) {
      most[c] = std::max(most[c], std::fabs(row[c]));
      defects[c] += row[c] * 0;  // NaN for what is not finite
    }
  });
  float* scales = to.scales + panel * kInt8Columns;
  int32_t* sums = to.sums + panel * kInt8Columns;
  for (size_t c = 0; c < most.size(); ++c) {
    const bool usable = most[c] / kMost >= std::numeric_limits<float>::min() && defects[c] == 0;
    scales[c] = usable ? most[c] / kMost : defects[c];
    inverse[c] = usable ? kMost / most[c] : 0;
    sums[c] = 0;
  }
  int8_t* numbers = to.numbers + panel * vec::panel_bytes(e.depth);
  each_row(data, e, turned, panel, [&](int64_t i, const auto& row) {
    int8_t* quad = numbers + i / kQuad * kQuad * kInt8Columns + i % kQuad;
    for (size_t c = 0; c < row.size(); ++c) {
      const float scaled = row[c] * inverse[c];
      const auto number = static_cast<int32_t>(std::nearbyint(scaled == scaled ? scaled : 0.0F));
      quad[static_cast<int64_t>(c) * kQuad] = static_cast<int8_t>(number);
      sums[c] += number;
    }
  });
}

}  // namespace

int64_t PackedInt8::panels() const { return Extents{depth_, columns_}.panels(); }
size_t PackedInt8::size() const {
  return static_cast<size_t>(panels() * (kInt8Columns * 8 + vec::panel_bytes(depth_)));
}
const float* PackedInt8::scales() const { return reinterpret_cast<const float*>(packed_->data()); }
const int32_t* PackedInt8::sums() const { return reinterpret_cast<const int32_t*>(scales() + panels() * kInt8Columns); }
const int8_t* PackedInt8::numbers() const { return reinterpret_cast<const int8_t*>(sums() + panels() * kInt8Columns); }

PackedInt8 PackedInt8::quantised(WeightCache* cache, const Tensor& weights, bool turned) {
  const Shape& shape = weights.shape();
  const Extents e{shape[turned ? 1 : 0], shape[turned ? 0 : 1]};
  PackedInt8 packed(e.depth, e.columns);
  auto fill = [weights, turned, e, size = packed.size()](std::byte* memory) {
    std::memset(memory, 0, size);
    const Reading reading = weights.read();
    for (int64_t panel = 0; panel < e.panels(); ++panel)
      quantise_panel(reading.data, e, turned, panel, Parts(memory, e));
    graph::FileMap::release({reading.data, weights.bytes()});
  };
  packed.packed_ = cache == nullptr
                       ? std::make_shared<const PackedWeights>(packed.size(), std::move(fill))
                       : cache->get_or_pack(weights, turned ? "turned int8 panels of 32" : "int8 panels of 32",
                                            packed.size(), std::move(fill));
  return packed;
}

Result<PackedInt8> PackedInt8::given(WeightCache* cache, const Tensor& weights, std::span<const float> scales,
                                     std::span<const int32_t> zeros) {
  const Extents e{weights.shape()[0], weights.shape()[1]};
  std::vector<int8_t> numbers(static_cast<size_t>(e.depth * e.columns));
  const bool is_signed = weights.dtype() == DType::kI8;
  const std::byte* from = weights.view().data;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t column = i % static_cast<size_t>(e.columns);
    const int32_t number = (is_signed ? int32_t{reinterpret_cast<const int8_t*>(from)[i]}
                                      : int32_t{reinterpret_cast<const uint8_t*>(from)[i]}) -
                           zeros[zeros.size() == 1 ? 0 : column];
    if (number < -128 || number > 127) return unsupported("weights that, less their zero point, do not fit i8");
    numbers[i] = static_cast<int8_t>(number);
  }
  PackedInt8 packed(e.depth, e.columns);
  auto fill = [e, numbers = std::move(numbers), scales = std::vector<float>(scales.begin(), scales.end()),
               size = packed.size()](std::byte* memory) {
    std::memset(memory, 0, size);
    const Parts to(memory, e);
    for (int64_t c = 0; c < e.columns; ++c) to.scales[c] = scales[scales.size() == 1 ? 0 : static_cast<size_t>(c)];
    for (int64_t i = 0; i < e.depth; ++i) {
      for (int64_t c = 0; c < e.columns; ++c) {
        const int8_t number = numbers[static_cast<size_t>(i * e.columns + c)];
        const int64_t in_panel = (i / kQuad * kInt8Columns + c % kInt8Columns) * kQuad + i % kQuad;
        to.numbers[c / kInt8Columns * vec::panel_bytes(e.depth) + in_panel] = number;
        to.sums[c] += number;
      }
    }
  };
  if (cache == nullptr) {
    packed.packed_ = std::make_shared<const PackedWeights>(packed.size(), std::move(fill));
    return packed;
  }
  std::string form = "given int8 panels of 32 ";
  form.append(reinterpret_cast<const char*>(scales.data()), scales.size_bytes());
  form.append(reinterpret_cast<const char*>(zeros.data()), zeros.size_bytes());
  packed.packed_ = cache->get_or_pack(weights, form, packed.size(), std::move(fill));
  return packed;
}

}  // namespace motet::ops
