// Winograd's minimal filtering F(t x t, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
// 2015, section 4.1) as inner loops: a patch of size x size pixels, size = t + 2, becomes size^2 points, products over
// the channels are made point by point and summed in f32, and the sums become t x t results. Plain functions on
// pointers: no allocation, no threads, no failure. Any thread. Each result depends on its own patch only and is
// computed in one fixed order.
//
// t is 2, or in f32 also 4: larger patches would lose what bf16 can tell apart. The points for 4 are 0, +-5/8, +-3/2
// and infinity, whose error is a quarter of that by the paper's 0, +-1, +-2: their powers differ less in size.
//
// Pictures are in blocks of 16 channels side by side: the pitches say how rows, pixels and blocks lie.
#pragma once

#include <cstdint>

namespace motet::ops::vec {

inline constexpr int64_t kWinogradBlock = 16;    // channels
inline constexpr int64_t kWinogradColumns = 32;  // of a panel of weights
inline constexpr int64_t kWinogradRows = 12;     // patches whose sums are in registers at once
inline constexpr int kWinogradMostPoints = 36;

// Pitches in elements.
struct PicturePitch {
  int64_t row = 0, pixel = 0, block = 0;
};

// One patch and what becomes of it, both f32 or bf16.
struct WinogradPatch {
  const void* picture = nullptr;
  int64_t first = 0;  // element where the patch begins; may lie before the picture
  PicturePitch pitch;
  unsigned rows = 0, columns = 0;  // bit i: those pixels of the patch lie in the picture; others are zero and not read
  int64_t blocks = 0;              // of channels
  void* to = nullptr;              // [blocks * 16] of point 0
  int64_t point = 0;               // elements from one point to the next
};

// Sums of one point: patches times one panel of weights.
struct WinogradProduct {
  int64_t rows = 0, depth = 0;  // depth: even
  const void* a = nullptr;      // [rows, depth], f32 or bf16
  int64_t a_row = 0;            // pitch in elements
  const void* panel = nullptr;  // f32: [depth, kWinogradColumns]; bf16: [depth / 2, kWinogradColumns, 2]
  float* out = nullptr;         // [rows, kWinogradColumns]
};

// One patch's results in the channels of one panel: the sum, plus bias, plus addend, between least and most.
struct WinogradResult {
  const float* sums = nullptr;  // [kWinogradColumns] of point 0
  int64_t point = 0;
  const float* bias = nullptr;   // [kWinogradColumns]
  const void* addend = nullptr;  // lies as `to` does, may be it; or null
  void* to = nullptr;            // pixel (0, 0), channel 0 of the panel; f32 or bf16
  PicturePitch pitch;
  int rows = 0, columns = 0, blocks = 2;  // pixels and blocks of channels that there are
  float least = 0, most = 0;              // infinite: no limit
};

struct WinogradLoops {
  int tile;                    // t
  int pairs;                   // depths that lie side by side in a panel: 1 in f32, 2 in bf16
  const double (*weights)[3];  // G of the paper, [size]: a 3x3 filter g becomes G g G^T
  void (*patch)(const WinogradPatch& patch);
  void (*product)(const WinogradProduct& product);
  void (*result)(const WinogradResult& result);

  int size() const { return tile + 2; }
  int points() const { return size() * size(); }
};

// Null where the CPU lacks AVX-512. REQUIRES: `tile` is 2 or 4.
const WinogradLoops* f32_winograd_loops(int tile);
// Null where the CPU lacks AVX512_BF16.
const WinogradLoops* bf16_winograd_loops();

}  // namespace motet::ops::vec
