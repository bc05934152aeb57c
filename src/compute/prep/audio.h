// Sound: mono samples in [-1, 1] from a WAV file (PCM of 8, 16, 24 or 32 bits, or float of 32 or 64; channels are
// averaged), and resampling. Any thread. Hostile bytes get an Error naming the file.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace motet::prep {

struct Sound {
  int rate = 0;  // samples a second
  std::vector<float> samples;

  double seconds() const { return rate > 0 ? static_cast<double>(samples.size()) / rate : 0; }
};

Result<Sound> decode_wav(std::span<const std::byte> bytes, std::string_view name);

// The same sound at `rate`: band-limited interpolation with a Kaiser-windowed sinc of 16 zero crossings (J. O. Smith,
// Digital Audio Resampling). REQUIRES: both rates in 1 .. kMostRate.
Sound resample(const Sound& sound, int rate);
inline constexpr int kMostRate = 768'000;

}  // namespace motet::prep
