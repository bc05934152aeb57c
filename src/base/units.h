// Nanos and Bytes: integers that know their unit. Nanos serves as an instant (since an epoch that the Clock names) and as a
// length of time; arithmetic saturates, so kNever stays never. Plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace motet {

struct Nanos {
  int64_t value = 0;

  constexpr Nanos() = default;
  constexpr explicit Nanos(int64_t nanoseconds) : value(nanoseconds) {}

  static constexpr Nanos from_micros(int64_t us) { return saturating_multiply(us, 1'000); }
  static constexpr Nanos from_millis(int64_t ms) { return saturating_multiply(ms, 1'000'000); }
  static constexpr Nanos from_seconds(int64_t s) { return saturating_multiply(s, 1'000'000'000); }
  constexpr double seconds() const { return static_cast<double>(value) * 1e-9; }
  constexpr double millis() const { return static_cast<double>(value) * 1e-6; }

  friend constexpr auto operator<=>(Nanos, Nanos) = default;
  friend constexpr Nanos operator+(Nanos a, Nanos b) {
    int64_t sum = 0;
    if (!__builtin_add_overflow(a.value, b.value, &sum)) return Nanos(sum);
    return Nanos(a.value > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min());
  }
  friend constexpr Nanos operator-(Nanos a, Nanos b) {
    int64_t difference = 0;
    if (!__builtin_sub_overflow(a.value, b.value, &difference)) return Nanos(difference);
    return Nanos(a.value > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min());
  }
  friend constexpr Nanos operator*(Nanos a, int64_t factor) { return saturating_multiply(a.value, factor); }
  friend constexpr Nanos operator/(Nanos a, int64_t divisor) { return Nanos(a.value / divisor); }
  constexpr Nanos& operator+=(Nanos other) { return *this = *this + other; }
  constexpr Nanos& operator-=(Nanos other) { return *this = *this - other; }

 private:
  static constexpr Nanos saturating_multiply(int64_t a, int64_t b) {
    int64_t product = 0;
    if (!__builtin_mul_overflow(a, b, &product)) return Nanos(product);
    return Nanos((a < 0) == (b < 0) ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min());
  }
};

// An instant that does not come: "no deadline".
inline constexpr Nanos kNever{std::numeric_limits<int64_t>::max()};

// A size or a budget in bytes. Signed, so that a difference can be tested; never negative where it means a size.
struct Bytes {
  int64_t value = 0;

  constexpr Bytes() = default;
  constexpr explicit Bytes(int64_t bytes) : value(bytes) {}
  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes(a.value + b.value); }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return Bytes(a.value - b.value); }
  constexpr Bytes& operator+=(Bytes other) { return *this = *this + other; }
  constexpr Bytes& operator-=(Bytes other) { return *this = *this - other; }
};

}  // namespace motet
