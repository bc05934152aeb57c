// Strong ids: an integer that names one kind of thing and cannot be passed for another. Plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace motet {

template <class Tag>
struct Id {
  uint64_t value = 0;  // 0 names nothing

  constexpr Id() = default;
  constexpr explicit Id(uint64_t v) : value(v) {}
  constexpr explicit operator bool() const { return value != 0; }
  friend constexpr auto operator<=>(Id, Id) = default;
};

using QueryId = Id<struct QueryTag>;          // one inference request, for the life of the process
using InstanceId = Id<struct InstanceTag>;    // one loaded (or loading) model version
using ExecutionId = Id<struct ExecutionTag>;  // one run of a program over one batch
using TenantId = Id<struct TenantTag>;        // the authenticated principal of a query

}  // namespace motet

template <class Tag>
struct std::hash<motet::Id<Tag>> {
  size_t operator()(motet::Id<Tag> id) const noexcept { return std::hash<uint64_t>{}(id.value); }
};
