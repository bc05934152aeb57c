#include "brain/fleet/eviction.h"

#include <algorithm>
#include <tuple>

namespace motet::brain {
namespace {

// Of memory that is brought in page by page, as the slower of machines do.
constexpr double kLoadedBytesPerS = 0.5e9;

double value_of(const Resident& r) {
  // What was never measured still takes some time.
  double seconds = std::max(r.load_time, Nanos::from_millis(1)).seconds();
  seconds = std::max(seconds, static_cast<double>(r.bytes.value) / kLoadedBytesPerS);
  return seconds * r.per_s / static_cast<double>(std::max<int64_t>(1, r.bytes.value));
}

}  // namespace

std::vector<Resident> choose_victims(std::span<const Resident> residents, Bytes needed) {
  std::vector<Resident> all(residents.begin(), residents.end());
  std::sort(all.begin(), all.end(), [](const Resident& a, const Resident& b) {
    return std::tuple(value_of(a), a.instance, a.bucket) < std::tuple(value_of(b), b.instance, b.bucket);
  });
  std::vector<Resident> victims;
  Bytes freed;
  for (const Resident& r : all) {
    if (freed >= needed) break;
    if (r.bytes <= Bytes(0)) continue;
    victims.push_back(r);
    freed += r.bytes;
  }
  if (freed < needed) return {};
  for (size_t i = victims.size(); i-- > 0;) {  // the most worth first
    if (freed - victims[i].bytes < needed) continue;
    freed -= victims[i].bytes;
    victims.erase(victims.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return victims;
}

}  // namespace motet::brain
