// A progress bar on standard error: drawn on a terminal at most ten times a second, silent in a pipe. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"

namespace motet::term {

class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(int64_t n = 1);
  void set(int64_t done);

 private:
  void draw(bool force);

  const std::string label_;
  const int64_t total_;
  const bool terminal_;
  int64_t done_ = 0;
  Nanos drawn_at_;
};

}  // namespace motet::term
