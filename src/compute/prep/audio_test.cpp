#include "compute/prep/audio.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <string>

#include "base/random.h"
#include "compute/prep/file.h"

namespace motet::prep {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string wav(uint16_t kind, uint16_t channels, uint32_t rate, uint16_t bits, const std::string& data) {
  std::string format = raw(kind) + raw(channels) + raw(rate) + raw(uint32_t{0}) + raw(uint16_t{0}) + raw(bits);
  return "RIFF" + raw(uint32_t{0}) + "WAVE" + "LIST" + raw(uint32_t{3}) + std::string("abc\0", 4) + "fmt " +
         raw(uint32_t{16}) + format + "data" + raw(static_cast<uint32_t>(data.size())) + data;
}

TEST(Wav, EveryFormatGivesTheSameSamples) {
  struct Case {
    uint16_t kind;
    uint16_t bits;
    std::string data;
  };
  const std::vector<Case> cases{
      {1, 8, raw(uint8_t{192}) + raw(uint8_t{64})},
      {1, 16, raw(int16_t{16384}) + raw(int16_t{-16384})},
      {1, 24, std::string("\x00\x00\x40\x00\x00\xc0", 6)},
      {1, 32, raw(int32_t{1 << 30}) + raw(int32_t{-(1 << 30)})},
      {3, 32, raw(0.5F) + raw(-0.5F)},
      {3, 64, raw(0.5) + raw(-0.5)},
  };
  for (const Case& c : cases) {
    Result<Sound> sound = decode_wav(bytes_of(wav(c.kind, 1, 8000, c.bits, c.data)), "a.wav");
    ASSERT_TRUE(sound.ok()) << sound.error().message;
    EXPECT_EQ(sound->rate, 8000);
    EXPECT_EQ(sound->samples, (std::vector<float>{0.5F, -0.5F})) << c.kind << " " << c.bits;
  }
}

TEST(Wav, ChannelsAreAveraged) {
  Result<Sound> sound = decode_wav(bytes_of(wav(1, 2, 8000, 16, raw(int16_t{16384}) + raw(int16_t{0}))), "a.wav");
  ASSERT_TRUE(sound.ok());
  EXPECT_EQ(sound->samples, std::vector<float>{0.25F});
}

TEST(Wav, RefusalsNameTheFileAndWhatIsAccepted) {
  struct Case {
    std::string file;
    const char* says;
  };
  std::string good = wav(1, 1, 8000, 16, "1234");
  const std::vector<Case> cases{
      {"", "RIFF"},
      {std::string("RIFF\0\0\0\0WAVE", 12), "no data chunk"},
      {good.substr(0, good.size() - 1), "where 3 are left"},
      {wav(7, 1, 8000, 8, "12"), "format 7"},
      {wav(1, 1, 8000, 12, "12"), "12 bits"},
      {wav(1, 0, 8000, 16, "12"), "0 channels"},
      {wav(1, 1, 0, 16, "12"), "a rate of 0"},
      {wav(1, 1, 4'000'000'000U, 16, "12"), "a rate of 4000000000"},
      {std::string("RIFF\0\0\0\0WAVEdata\x02\0\0\0ab", 22), "before its format"},
  };
  for (const Case& c : cases) {
    Result<Sound> sound = decode_wav(bytes_of(c.file), "speech.wav");
    ASSERT_FALSE(sound.ok()) << c.says;
    EXPECT_NE(sound.error().message.find(c.says), std::string::npos) << sound.error().message;
    EXPECT_NE(sound.error().message.find("speech.wav"), std::string::npos);
  }
}

TEST(Wav, AnyBytesAreReadOrRefused) {
  Random random(3, "wav");
  std::string good = wav(1, 2, 16000, 16, std::string(64, 'x'));
  for (int round = 0; round < 20'000; ++round) {
    std::string file = good;
    for (int change = 0; change < 3; ++change) file[random.below(file.size())] = static_cast<char>(random.next());
    if (random.chance(0.2)) file.resize(random.below(file.size()));
    Result<Sound> sound = decode_wav(bytes_of(file), "a.wav");
    if (sound.ok()) {
      EXPECT_LE(sound->samples.size(), file.size());
    }
  }
}

Sound tone(int rate, double hertz, double seconds) {
  Sound sound{rate, {}};
  for (int i = 0; i < static_cast<int>(rate * seconds); ++i) {
    sound.samples.push_back(static_cast<float>(std::sin(2 * std::numbers::pi * hertz * i / rate)));
  }
  return sound;
}

TEST(Resample, ATonePassesAndKeepsItsPitch) {
  for (auto [from, to] :
       {std::pair(44100, 16000), std::pair(8000, 16000), std::pair(48000, 16000), std::pair(16000, 15999)}) {
    Sound out = resample(tone(from, 440, 0.2), to);
    Sound expected = tone(to, 440, 0.2);
    EXPECT_NEAR(static_cast<double>(out.samples.size()), static_cast<double>(expected.samples.size()), 1);
    for (size_t i = 200; i + 200 < expected.samples.size(); ++i)
      EXPECT_NEAR(out.samples[i], expected.samples[i], 2e-3) << from << " " << i;
  }
}

TEST(Resample, WhatTheNewRateCannotHoldIsRemoved) {
  Sound out = resample(tone(44100, 15000, 0.2), 16000);
  for (size_t i = 200; i + 200 < out.samples.size(); ++i) EXPECT_NEAR(out.samples[i], 0, 2e-3);
}

TEST(Resample, TheSameRateIsTheSameSound) {
  Sound sound = tone(16000, 300, 0.05);
  EXPECT_EQ(resample(sound, 16000).samples, sound.samples);
}

}  // namespace
}  // namespace motet::prep
