#include "compute/device/arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace motet::device {
namespace {

TEST(Arena, IsAlignedAndWritable) {
  for (int64_t bytes : {1, 63, 4096, 5000, 1 << 20, 3 << 20, (8 << 20) + 1}) {
    Result<Arena> arena = Arena::create(Bytes(bytes));
    ASSERT_TRUE(arena.ok()) << arena.error().message;
    EXPECT_EQ(arena->size().value, bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arena->data()) % 64, 0u);
    if (bytes >= (2 << 20)) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(arena->data()) % (2 << 20), 0u);
    }
    std::memset(arena->data(), 0x5a, static_cast<size_t>(bytes));
  }
}

TEST(Arena, PopulatedIsMapped) {
  release_kept_arenas();
  for (size_t bytes : {size_t{64} << 10, size_t{6} << 20}) {
    Result<Arena> arena = Arena::create(Bytes(static_cast<int64_t>(bytes)));
    ASSERT_TRUE(arena.ok()) << arena.error().message;
    auto mapped = [&] {
      std::vector<unsigned char> pages(bytes / 4096);
      EXPECT_EQ(mincore(arena->data(), bytes, pages.data()), 0);
      return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
    };
    EXPECT_EQ(mapped(), 0);
    arena->populate();
    EXPECT_EQ(mapped(), static_cast<std::ptrdiff_t>(bytes / 4096));
  }
}

TEST(Arena, OfNothingIsAllowed) {
  Result<Arena> arena = Arena::create(Bytes(0));
  ASSERT_TRUE(arena.ok());
  arena->populate();
  EXPECT_EQ(arena->data(), nullptr);
}

TEST(Arena, RefusesWhatTheMachineLacks) {
  for (int64_t bytes : {int64_t{-1}, int64_t{1} << 50, std::numeric_limits<int64_t>::max()}) {
    Result<Arena> arena = Arena::create(Bytes(bytes));
    ASSERT_FALSE(arena.ok());
    EXPECT_NE(arena.error().message.find(std::to_string(bytes)), std::string::npos);
  }
}

TEST(Arena, MemoryIsKeptForTheNextAndBounded) {
  release_kept_arenas();
  {
    Result<Arena> first = Arena::create(Bytes(4 << 20));
  }
  EXPECT_EQ(kept_arena_bytes().value, 4 << 20);
  {
    Result<Arena> again = Arena::create(Bytes(3 << 20));
    EXPECT_EQ(kept_arena_bytes().value, 0);
  }
  {
    std::vector<Result<Arena>> many;
    for (int i = 0; i < 6; ++i) many.push_back(Arena::create(Bytes(64 << 20)));
  }
  EXPECT_EQ(kept_arena_bytes().value, 256 << 20);
  release_kept_arenas();
  EXPECT_EQ(kept_arena_bytes().value, 0);
}

}  // namespace
}  // namespace motet::device
