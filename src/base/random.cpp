#include "base/random.h"

#include <bit>

#include "base/check.h"
#include "base/math.h"

namespace motet {
namespace {

uint64_t splitmix64(uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

Random::Random(uint64_t seed, std::string_view stream) {
  uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a of the stream's name
  for (char c : stream) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  uint64_t state = seed ^ hash;
  for (uint64_t& word : state_) word = splitmix64(state);
}

uint64_t Random::next() {
  uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::below(uint64_t bound) {
  MOTET_CHECK(bound > 0, "below() needs a positive bound");
  uint64_t threshold = (0 - bound) % bound;  // values under it would make the low residues likelier
  for (;;) {
    uint64_t value = next();
    if (value >= threshold) return value % bound;
  }
}

int64_t Random::between(int64_t low, int64_t high) {
  MOTET_CHECK(low <= high, "between() needs low <= high");
  uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  uint64_t offset = span == UINT64_MAX ? next() : below(span + 1);
  return static_cast<int64_t>(static_cast<uint64_t>(low) + offset);
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Random::exponential(double mean) { return -mean * stable_log(1.0 - uniform()); }

}  // namespace motet
