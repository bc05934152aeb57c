// Result<T>: a value or an Error. Every likely fault (bad input, a full queue, a missing file) travels as one of these;
// no exception crosses the data path. Broken invariants abort through MOTET_CHECK (check.h) instead.
// Threads: plain values, no sharing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace motet {

// What kind of refusal an Error is. The front ends map each to one HTTP status and one gRPC code; nothing else does.
enum class Code : unsigned char {
  kInvalidArgument,    // the request is wrong and would be wrong again
  kNotFound,           // no such model, version, tensor, file or route
  kAlreadyExists,      // a name given twice
  kUnavailable,        // not ready, shedding, queue full: the same request may succeed later
  kUnsupported,        // understood, and not done by this server
  kResourceExhausted,  // over a size limit or a memory budget
  kDeadlineExceeded,   // its deadline passed before it was answered
  kCancelled,          // the client went away
  kInternal,           // our fault
};

// "INVALID_ARGUMENT" and so on: for logs, metrics and recordings.
std::string_view code_name(Code code);

// A refusal in words. `message` says what was wrong, which value, and what would be accepted.
struct Error {
  Code code = Code::kInternal;
  std::string message;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok().
  T& value() & { MOTET_CHECK(ok(), "value() of a failed Result"); return *std::get_if<0>(&state_); }
  const T& value() const& { MOTET_CHECK(ok(), "value() of a failed Result"); return *std::get_if<0>(&state_); }
  T&& value() && { MOTET_CHECK(ok(), "value() of a failed Result"); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok().
  Error& error() & { MOTET_CHECK(!ok(), "error() of a good Result"); return *std::get_if<1>(&state_); }
  const Error& error() const& { MOTET_CHECK(!ok(), "error() of a good Result"); return *std::get_if<1>(&state_); }
  Error&& error() && { MOTET_CHECK(!ok(), "error() of a good Result"); return std::move(*std::get_if<1>(&state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  // REQUIRES: ok().
  void value() const { MOTET_CHECK(ok(), "value() of a failed Result"); }
  // REQUIRES: !ok().
  Error& error() & { MOTET_CHECK(!ok(), "error() of a good Result"); return *error_; }
  const Error& error() const& { MOTET_CHECK(!ok(), "error() of a good Result"); return *error_; }
  Error&& error() && { MOTET_CHECK(!ok(), "error() of a good Result"); return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Error invalid_argument(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }
inline Error not_found(std::string message) { return {Code::kNotFound, std::move(message)}; }
inline Error unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
inline Error unsupported(std::string message) { return {Code::kUnsupported, std::move(message)}; }
inline Error resource_exhausted(std::string message) { return {Code::kResourceExhausted, std::move(message)}; }
inline Error internal_error(std::string message) { return {Code::kInternal, std::move(message)}; }

}  // namespace motet

#define MOTET_CONCAT_INNER(a, b) a##b
#define MOTET_CONCAT(a, b) MOTET_CONCAT_INNER(a, b)

// Returns the Error of a failed Result from the enclosing function.
#define MOTET_RETURN_IF_ERROR(expr)                                                \
  do {                                                                             \
    if (auto motet_status = (expr); !motet_status.ok()) return std::move(motet_status).error(); \
  } while (false)

// MOTET_ASSIGN(auto x, f()): x is the value of f(), or the enclosing function returns f()'s Error.
#define MOTET_ASSIGN(lhs, expr) MOTET_ASSIGN_INNER(MOTET_CONCAT(motet_result_, __LINE__), lhs, expr)
#define MOTET_ASSIGN_INNER(tmp, lhs, expr)            \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return std::move(tmp).error();       \
  lhs = std::move(tmp).value()
