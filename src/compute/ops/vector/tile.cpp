#include "compute/ops/vector/tile.h"

namespace motet::ops::vec {

#if defined(__x86_64__)
void tile_product_f32(const ProductTile& tile);
void tile_product_bf16(const ProductTile& tile);

TileProduct f32_tile_product() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") ? tile_product_f32 : nullptr;
}

TileProduct bf16_tile_product() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") ? tile_product_bf16 : nullptr;
}
#else
TileProduct f32_tile_product() { return nullptr; }
TileProduct bf16_tile_product() { return nullptr; }
#endif

}  // namespace motet::ops::vec
