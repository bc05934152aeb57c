#include "compute/prep/audio.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>
#include <string>

namespace motet::prep {

namespace {

struct Format {
  uint16_t kind = 0;  // 1: PCM, 3: IEEE float
  uint16_t channels = 0;
  uint32_t rate = 0;
  uint16_t bits = 0;
};

template <class T>
T read_at(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

bool tag_at(std::span<const std::byte> bytes, size_t at, const char* tag) {
  return std::memcmp(bytes.data() + at, tag, 4) == 0;
}

// The "fmt " chunk (RIFF WAVE; WAVE_FORMAT_EXTENSIBLE names the kind in its sub-format).
Result<Format> read_format(std::span<const std::byte> chunk) {
  if (chunk.size() < 16)
    return invalid_argument("a format chunk of " + std::to_string(chunk.size()) + " bytes; it has 16 or more");
  Format f{read_at<uint16_t>(chunk, 0), read_at<uint16_t>(chunk, 2), read_at<uint32_t>(chunk, 4),
           read_at<uint16_t>(chunk, 14)};
  constexpr uint16_t kExtensible = 0xfffe;
  if (f.kind == kExtensible && chunk.size() >= 26) f.kind = read_at<uint16_t>(chunk, 24);
  bool pcm = f.kind == 1 && (f.bits == 8 || f.bits == 16 || f.bits == 24 || f.bits == 32);
  bool real = f.kind == 3 && (f.bits == 32 || f.bits == 64);
  if (!pcm && !real) {
    return unsupported("format " + std::to_string(f.kind) + " with " + std::to_string(f.bits) +
                       " bits; accepted are PCM (1) with 8, 16, 24 or 32 and float (3) with 32 or 64");
  }
  if (f.channels < 1 || f.channels > 64)
    return unsupported(std::to_string(f.channels) + " channels; accepted are 1 to 64");
  if (f.rate < 1 || f.rate > kMostRate) {
    return unsupported("a rate of " + std::to_string(f.rate) + "; accepted are 1 to " + std::to_string(kMostRate));
  }
  return f;
}

float sample_at(std::span<const std::byte> data, size_t at, const Format& f) {
  if (f.kind == 3) {
    double value = f.bits == 32 ? double{read_at<float>(data, at)} : read_at<double>(data, at);
    return std::isfinite(value) ? static_cast<float>(value) : 0;
  }
  switch (f.bits) {
    case 8: return (static_cast<float>(read_at<uint8_t>(data, at)) - 128.0F) / 128.0F;
    case 16: return static_cast<float>(read_at<int16_t>(data, at)) / 32768.0F;
    case 24: {
      uint32_t raw = read_at<uint8_t>(data, at) | uint32_t{read_at<uint16_t>(data, at + 1)} << 8;
      return static_cast<float>(static_cast<int32_t>(raw << 8)) / 2147483648.0F;
    }
    default: return static_cast<float>(read_at<int32_t>(data, at)) / 2147483648.0F;
  }
}

Sound mix_down(std::span<const std::byte> data, const Format& f) {
  size_t sample_bytes = f.bits / 8;
  size_t frame_bytes = sample_bytes * f.channels;
  Sound sound;
  sound.rate = static_cast<int>(f.rate);
  sound.samples.resize(data.size() / frame_bytes);
  for (size_t i = 0; i < sound.samples.size(); ++i) {
    float sum = 0;
    for (size_t c = 0; c < f.channels; ++c) sum += sample_at(data, i * frame_bytes + c * sample_bytes, f);
    sound.samples[i] = sum / static_cast<float>(f.channels);
  }
  return sound;
}

// Modified Bessel function of the first kind, order 0, by its power series.
double bessel_i0(double x) {
  double sum = 1;
  double term = 1;
  for (int k = 1; k < 50; ++k) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

}  // namespace

Result<Sound> decode_wav(std::span<const std::byte> bytes, std::string_view name) {
  auto refuse = [&](const std::string& why) {
    return invalid_argument(std::string(name) + " is not a WAV file that can be read: " + why);
  };
  if (bytes.size() < 12 || !tag_at(bytes, 0, "RIFF") || !tag_at(bytes, 8, "WAVE"))
    return refuse("it does not begin with RIFF....WAVE");
  Format format;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    size_t length = read_at<uint32_t>(bytes, at + 4);
    size_t left = bytes.size() - at - 8;
    bool is_data = tag_at(bytes, at, "data");
    // Writers to a pipe leave the length of the data open.
    if (is_data && (length == 0xffffffff || (length == 0 && left > 0))) length = left;
    if (length > left) {
      return refuse("a chunk of " + std::to_string(length) + " bytes where " + std::to_string(left) + " are left");
    }
    std::span<const std::byte> chunk = bytes.subspan(at + 8, length);
    if (tag_at(bytes, at, "fmt ")) {
      Result<Format> read = read_format(chunk);
      if (!read.ok()) return Error{read.error().code, std::string(name) + ": " + read.error().message};
      format = *read;
    } else if (is_data) {
      if (format.kind == 0) return refuse("its data come before its format");
      return mix_down(chunk, format);
    }
    at += 8 + length + length % 2;
  }
  return refuse("it has no data chunk");
}

Sound resample(const Sound& sound, int rate) {
  MOTET_CHECK(sound.rate >= 1 && sound.rate <= kMostRate && rate >= 1 && rate <= kMostRate, "rates are within limits");
  if (sound.rate == rate || sound.samples.empty()) return {rate, sound.samples};
  constexpr int kCrossings = 16;
  constexpr double kBeta = 8.0;
  double factor = static_cast<double>(rate) / sound.rate;
  double cutoff = std::min(1.0, factor);  // of the input's Nyquist frequency
  double half = kCrossings / cutoff;      // of the window, in input samples
  double norm = bessel_i0(kBeta);
  // Output i lies at i * down / up input samples: only `up` different phases occur.
  int common = std::gcd(sound.rate, rate);
  int64_t up = rate / common;
  int64_t down = sound.rate / common;
  int taps = 2 * static_cast<int>(std::ceil(half)) + 1;
  int reach = taps / 2;
  auto weight = [&](int64_t phase, int tap) {
    double x = (tap - reach) - static_cast<double>(phase) / static_cast<double>(up);
    if (std::fabs(x) >= half) return 0.0;
    double t = x / half;
    double angle = std::numbers::pi * x * cutoff;
    double sinc = x == 0 ? 1 : std::sin(angle) / angle;
    return cutoff * sinc * bessel_i0(kBeta * std::sqrt(1 - t * t)) / norm;
  };
  constexpr int64_t kMostKept = int64_t{1} << 22;  // table of weights; odd pairs of rates compute them as they go
  std::vector<float> table;
  if (up * taps <= kMostKept) {
    table.resize(static_cast<size_t>(up * taps));
    for (int64_t phase = 0; phase < up; ++phase) {
      for (int tap = 0; tap < taps; ++tap)
        table[static_cast<size_t>(phase * taps + tap)] = static_cast<float>(weight(phase, tap));
    }
  }
  auto in = static_cast<int64_t>(sound.samples.size());
  Sound out;
  out.rate = rate;
  out.samples.resize(static_cast<size_t>((in * up + down - 1) / down));
  for (size_t i = 0; i < out.samples.size(); ++i) {
    int64_t position = static_cast<int64_t>(i) * down;
    int64_t center = position / up;
    int64_t phase = position % up;
    double sum = 0;
    for (int tap = 0; tap < taps; ++tap) {
      int64_t from = center + tap - reach;
      if (from < 0 || from >= in) continue;
      double w = table.empty() ? weight(phase, tap) : table[static_cast<size_t>(phase * taps + tap)];
      sum += w * sound.samples[static_cast<size_t>(from)];
    }
    out.samples[i] = static_cast<float>(sum);
  }
  return out;
}

}  // namespace motet::prep
