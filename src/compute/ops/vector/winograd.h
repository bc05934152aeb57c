// Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015,
// section 4.1) in bf16, as inner loops: a patch of 4x4 pixels becomes 16 points, products over the channels are made
// point by point and summed in f32, and 16 sums become 2x2 results. Plain functions on pointers: no allocation, no
// threads, no failure. Any thread. Each result depends on its own patch only and is computed in one fixed order.
//
// Pictures are bf16 in blocks of 16 channels side by side: the pitches say how rows, pixels and blocks lie.
#pragma once

#include <cstdint>

namespace motet::ops::vec {

inline constexpr int64_t kWinogradPoints = 16;
inline constexpr int64_t kWinogradBlock = 16;    // channels
inline constexpr int64_t kWinogradColumns = 32;  // of a panel of weights
inline constexpr int64_t kWinogradRows = 12;     // patches whose sums are in registers at once

// Pitches in elements.
struct PicturePitch {
  int64_t row = 0, pixel = 0, block = 0;
};

// One patch and what becomes of it.
struct WinogradPatch {
  const uint16_t* picture = nullptr;
  int64_t first = 0;  // element where the patch begins; may lie before the picture
  PicturePitch pitch;
  unsigned inside = 0;     // bit 4r + c: pixel (r, c) lies in the picture; others are zero and not read
  int64_t blocks = 0;      // of channels
  uint16_t* to = nullptr;  // [blocks * 16] of point 0
  int64_t point = 0;       // from one point to the next
};

// Sums of one point: patches times one panel of weights.
struct WinogradProduct {
  int64_t rows = 0, depth = 0;  // depth: even
  const uint16_t* a = nullptr;  // [rows, depth]
  int64_t a_row = 0;
  const uint16_t* panel = nullptr;  // [depth / 2, kWinogradColumns, 2]; what follows it is brought nearer
  float* out = nullptr;             // [rows, kWinogradColumns]
};

// One patch's 2x2 results in the channels of one panel: the sum, plus bias, plus addend, between least and most.
struct WinogradResult {
  const float* sums = nullptr;  // [kWinogradColumns] of point 0
  int64_t point = 0;
  const float* bias = nullptr;       // [kWinogradColumns]
  const uint16_t* addend = nullptr;  // lies as `to` does, may be it; or null
  uint16_t* to = nullptr;            // pixel (0, 0), channel 0 of the panel
  PicturePitch pitch;
  int rows = 2, columns = 2, blocks = 2;  // pixels and blocks of channels that there are
  float least = 0, most = 0;              // infinite: no limit
};

struct WinogradLoops {
  void (*patch)(const WinogradPatch& patch);
  void (*product)(const WinogradProduct& product);
  void (*result)(const WinogradResult& result);
};

// Null where the CPU lacks AVX512_BF16.
const WinogradLoops* winograd_loops();

}  // namespace motet::ops::vec
