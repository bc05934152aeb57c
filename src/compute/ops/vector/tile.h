// The inner loop of products with packed weights: a few rows times one panel of columns, all of the depth, in
// registers. For f32, and for bf16 summed in f32 where the CPU multiplies pairs of bf16. Plain functions on pointers:
// no allocation, no threads, no failure. Any thread.
//
// Every element is one sum over the depth from first to last, so that rows and columns do not depend on their
// neighbours.
#pragma once

#include <cstdint>

namespace motet::ops::vec {

// Columns of a panel, and rows of a tile: 24 sums leave room for operands in the 32 registers of AVX-512.
inline constexpr int64_t kPanel = 48;
inline constexpr int64_t kPanelRows = 8;

struct ProductTile {
  int64_t rows = 0;             // 1 to kPanelRows
  int64_t depth = 0;            // bf16: even
  const void* a = nullptr;      // [rows, depth], f32 or bf16
  int64_t a_row = 0;            // pitch in elements
  const void* panel = nullptr;  // f32: [depth, kPanel]; bf16: [depth / 2, kPanel, 2]
  const float* bias = nullptr;  // [kPanel], or null
  int columns = kPanel;         // 16, 32 or 48: the others are left out
  float* out = nullptr;         // [rows, columns]
  int64_t out_row = 0;
  // What will be read next: so many cache lines from here on are asked for, evenly over the depth.
  const void* ahead = nullptr;
  int64_t ahead_lines = 0;
};

using TileProduct = void (*)(const ProductTile& tile);

// Null where the CPU lacks AVX-512.
TileProduct f32_tile_product();
// Null where the CPU lacks AVX512_BF16.
TileProduct bf16_tile_product();

}  // namespace motet::ops::vec
