// motet-roofline [THREADS]: what the machine reaches here and now, as one JSON object: fused multiply-adds on registers
// in GFLOP/s, and DRAM read and triad (a[i] = b[i] + s * c[i], three streams counted) in GB/s. Each is the best of
// several short runs with one thread on each of the first THREADS cores (default 1) that the process may use.
#include <pthread.h>
#include <sched.h>

#include <barrier>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr int kRuns = 12;
constexpr size_t kFloats = size_t{32} << 20;  // 128 MB a stream and thread: beyond any cache's share
constexpr int kChains = 16;                   // independent sums: latency 4 to 5 cycles, two a cycle
constexpr int64_t kTurns = 2'000'000;

template <int kLanes>
struct Vector {
  using Type [[gnu::vector_size(kLanes * 4)]] = float;
};

// The result is returned so that the work cannot be left out.
template <class V>
[[gnu::always_inline]] inline float chains(float seed) {
  V sums[kChains], factor, addend;
  for (int c = 0; c < kChains; ++c) sums[c] = V{} + (seed + static_cast<float>(c));
  factor = V{} + 0.999F;
  addend = V{} + 1e-3F;
  for (int64_t turn = 0; turn < kTurns; ++turn)
    for (V& sum : sums) sum = sum * factor + addend;  // contracted to one instruction
  float total = 0;
  for (const V& sum : sums) total += sum[0] + sum[1];
  return total;
}

[[gnu::target("avx2,fma")]] float chains_avx2(float seed) { return chains<Vector<8>::Type>(seed); }
[[gnu::target("avx512f")]] float chains_avx512(float seed) { return chains<Vector<16>::Type>(seed); }

std::vector<int> allowed_cores() {
  cpu_set_t set;
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

// Shortest of kRuns runs, in seconds, of `work(thread)` on all threads at once.
double best_seconds(const std::vector<int>& cores, const std::function<void(size_t)>& work) {
  auto n = static_cast<std::ptrdiff_t>(cores.size());
  std::barrier gate(n);
  std::vector<double> seconds(cores.size() * kRuns);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < cores.size(); ++t)
    threads.emplace_back([&, t] {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(cores[t], &set);
      pthread_setaffinity_np(pthread_self(), sizeof set, &set);
      work(t);  // touches its memory on its own core
      for (size_t run = 0; run < kRuns; ++run) {
        gate.arrive_and_wait();
        auto begin = std::chrono::steady_clock::now();
        work(t);
        gate.arrive_and_wait();
        seconds[t * kRuns + run] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      }
    });
  for (std::thread& thread : threads) thread.join();
  double best = seconds[0];
  for (size_t run = 0; run < kRuns; ++run) best = std::min(best, seconds[run]);  // all end together
  return best;
}

double fma_gflops(const std::vector<int>& cores, int lanes, float (*run)(float)) {
  std::vector<float> sink(cores.size() * 16);
  double seconds = best_seconds(cores, [&](size_t t) { sink[t * 16] += run(static_cast<float>(t)); });
  return 2.0 * kChains * kTurns * lanes * static_cast<double>(cores.size()) / seconds * 1e-9;
}

struct Bandwidth {
  double read = 0, triad = 0;
};
Bandwidth bandwidth(const std::vector<int>& cores) {
  struct Streams {
    std::vector<float> a, b, c;
    float sum = 0;
  };
  std::vector<Streams> streams(cores.size());
  double triad = best_seconds(cores, [&](size_t t) {
    Streams& s = streams[t];
    if (s.a.empty()) s = {std::vector<float>(kFloats), std::vector<float>(kFloats, 1), std::vector<float>(kFloats, 2)};
    for (size_t i = 0; i < kFloats; ++i) s.a[i] = s.b[i] + 3 * s.c[i];
  });
  double read = best_seconds(cores, [&](size_t t) {
    using V = Vector<8>::Type;
    V sums[8] = {};
    for (size_t i = 0; i + 64 <= kFloats; i += 64)
      for (size_t v = 0; v < 8; ++v) {
        V x;
        std::memcpy(&x, streams[t].a.data() + i + v * 8, sizeof x);
        sums[v] += x;
      }
    for (const V& sum : sums) streams[t].sum += sum[0];
  });
  double bytes = static_cast<double>(kFloats * 4 * cores.size());
  return {.read = bytes / read * 1e-9, .triad = 3 * bytes / triad * 1e-9};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> cores = allowed_cores();
  size_t threads = 1;
  if (argc > 1) {
    std::string_view text = argv[1];
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
    if (error != std::errc() || end != text.data() + text.size() || threads < 1 || threads > cores.size()) {
      std::fprintf(stderr, "motet-roofline: '%s' threads; 1 to %zu are accepted\n", argv[1], cores.size());
      return 2;
    }
  }
  cores.resize(threads);
  double fma = 0;
  if (__builtin_cpu_supports("avx2") != 0) fma = fma_gflops(cores, 8, chains_avx2);
  if (__builtin_cpu_supports("avx512f") != 0) fma = std::max(fma, fma_gflops(cores, 16, chains_avx512));
  Bandwidth memory = bandwidth(cores);
  std::printf("{\"threads\": %zu, \"fma_gflops\": %.1f, \"read_gbps\": %.2f, \"triad_gbps\": %.2f}\n", threads, fma,
              memory.read, memory.triad);
  return 0;
}
