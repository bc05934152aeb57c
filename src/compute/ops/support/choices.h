// Choices: which of several ways of doing something is the fastest on this CPU, by a name that says what it depends on.
// What is not known is measured, once; the text form is kept from process to process (engine/model_cache.h). Any
// thread.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace motet::ops {

class Choices {
 public:
  // Whatever text() gave; lines that are none of its are passed over. Without `measuring`, what is not known is 0.
  explicit Choices(std::string_view text = "", bool measuring = true);

  // The way chosen for `name`, by `measure` if it is not known yet. REQUIRES: `name` has no line break.
  int pick(const std::string& name, const std::function<int()>& measure);
  std::string text() const;
  // True once something was measured.
  bool fresh() const;

 private:
  const bool measuring_;
  mutable std::mutex mutex_;
  std::map<std::string, int> chosen_;  // guarded by mutex_
  bool fresh_ = false;                 // guarded by mutex_
};

}  // namespace motet::ops
