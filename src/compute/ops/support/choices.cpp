#include "compute/ops/support/choices.h"

#include <algorithm>
#include <charconv>

namespace motet::ops {

Choices::Choices(std::string_view text, bool measuring) : measuring_(measuring) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    int chosen = 0;
    const auto [end, code] = std::from_chars(line.data(), line.data() + line.size(), chosen);
    const auto used = static_cast<size_t>(end - line.data());
    if (code == std::errc() && used < line.size() && line[used] == ' ')
      chosen_.emplace(std::string(line.substr(used + 1)), chosen);
  }
}

int Choices::pick(const std::string& name, const std::function<int()>& measure) {
  std::lock_guard lock(mutex_);
  if (auto found = chosen_.find(name); found != chosen_.end()) return found->second;
  if (!measuring_) return 0;
  const int chosen = measure();
  chosen_.emplace(name, chosen);
  fresh_ = true;
  return chosen;
}

std::string Choices::text() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [name, chosen] : chosen_) text += std::to_string(chosen) + ' ' + name + '\n';
  return text;
}

bool Choices::fresh() const {
  std::lock_guard lock(mutex_);
  return fresh_;
}

}  // namespace motet::ops
