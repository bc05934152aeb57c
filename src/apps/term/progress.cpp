#include "apps/term/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/clock.h"

namespace motet::term {
namespace {
constexpr int kBarWidth = 30;
}

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(std::max<int64_t>(total, 1)), terminal_(isatty(STDERR_FILENO) == 1) {
  draw(true);
}

Progress::~Progress() {
  if (terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::advance(int64_t n) { set(done_ + n); }

void Progress::set(int64_t done) {
  done_ = std::min(done, total_);
  draw(done_ == total_);
}

void Progress::draw(bool force) {
  if (!terminal_) return;
  Nanos now = SteadyClock().now();
  if (!force && now - drawn_at_ < Nanos::from_millis(100)) return;
  drawn_at_ = now;
  int full = static_cast<int>(done_ * kBarWidth / total_);
  std::fprintf(stderr, "\r%s [%s%s] %3lld %%", label_.c_str(), std::string(static_cast<size_t>(full), '#').c_str(),
               std::string(static_cast<size_t>(kBarWidth - full), '.').c_str(), static_cast<long long>(done_ * 100 / total_));
  std::fflush(stderr);
}

}  // namespace motet::term
