#include "compute/ops/vector/int8.h"
#include "compute/ops/vector/loops.h"
#include "compute/ops/vector/winograd.h"

namespace motet::ops::vec {

extern const Loops kBaselineLoops;
#if defined(__x86_64__)
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
extern const ByteLoops kVnniLoops;
extern const WinogradLoops kF32WinogradLoops[2];
extern const WinogradLoops kBf16WinogradLoops;
#endif

int available_isas(const Loops* (&out)[3]) {
  int count = 0;
  out[count++] = &kBaselineLoops;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    out[count++] = &kAvx2Loops;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq")) {
      out[count++] = &kAvx512Loops;
    }
  }
#endif
  return count;
}

const Loops& loops() {
  static const Loops* const chosen = [] {
    const Loops* all[3] = {};
    return all[available_isas(all) - 1];
  }();
  return *chosen;
}

const ByteLoops* byte_loops() {
#if defined(__x86_64__)
  static const bool has_vnni = [] {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
  }();
  return has_vnni ? &kVnniLoops : nullptr;
#else
  return nullptr;
#endif
}

const WinogradLoops* f32_winograd_loops(int tile) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") ? &kF32WinogradLoops[tile == 4 ? 1 : 0] : nullptr;
#else
  (void)tile;
  return nullptr;
#endif
}

const WinogradLoops* bf16_winograd_loops() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") ? &kBf16WinogradLoops : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace motet::ops::vec
