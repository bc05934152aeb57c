#include "base/tensor/named.h"

namespace motet {
namespace {

// What a string tensor owns: its elements, and whoever owns their characters.
struct StringBlock {
  std::vector<std::string_view> elements;
  std::shared_ptr<const void> characters;
};

}  // namespace

Result<Tensor> parse_string_tensor(std::span<const std::byte> bytes, Shape shape, std::shared_ptr<const void> owner) {
  MOTET_ASSIGN(int64_t expected, checked_elements(shape));
  auto block = std::make_shared<StringBlock>();
  block->characters = std::move(owner);
  size_t at = 0;
  while (at < bytes.size()) {
    size_t left = bytes.size() - at;
    if (left < 4) {
      return invalid_argument("incomplete string length, expecting 4 bytes but only " + std::to_string(left) +
                              " bytes available");
    }
    uint32_t length = 0;
    std::memcpy(&length, bytes.data() + at, 4);
    if (length > left - 4) {
      return invalid_argument("incomplete string data, expecting string of length " + std::to_string(length) +
                              " but only " + std::to_string(left - 4) + " bytes available");
    }
    if (static_cast<int64_t>(block->elements.size()) == expected) {
      return invalid_argument("unexpected number of string elements: more than the " + std::to_string(expected) +
                              " of shape " + shape_to_string(shape));
    }
    block->elements.emplace_back(reinterpret_cast<const char*>(bytes.data()) + at + 4, length);
    at += 4 + size_t{length};
  }
  if (static_cast<int64_t>(block->elements.size()) != expected) {
    return invalid_argument("expected " + std::to_string(expected) + " string elements, got " +
                            std::to_string(block->elements.size()));
  }
  TensorView view{DType::kString, std::move(shape), reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(view), std::move(block));
}

Tensor copy_strings(const TensorView& view) {
  std::span<const std::string_view> strings = view.as<std::string_view>();
  size_t length = 0;
  for (std::string_view s : strings) length += s.size();
  auto characters = std::make_shared<std::string>();
  characters->reserve(length);  // so that it does not move while elements are made
  auto block = std::make_shared<StringBlock>();
  block->elements.reserve(strings.size());
  for (std::string_view s : strings) {
    size_t at = characters->size();
    characters->append(s);
    block->elements.emplace_back(characters->data() + at, s.size());
  }
  block->characters = std::move(characters);
  TensorView copy{DType::kString, view.shape, reinterpret_cast<std::byte*>(block->elements.data())};
  return Tensor(std::move(copy), std::move(block));
}

size_t serialised_bytes(const TensorView& view) {
  size_t total = 0;
  for (std::string_view s : view.as<std::string_view>()) total += 4 + s.size();
  return total;
}

void serialise_strings(const TensorView& view, std::string& out) {
  for (std::string_view s : view.as<std::string_view>()) {
    auto length = static_cast<uint32_t>(s.size());
    out.append(reinterpret_cast<const char*>(&length), 4);
    out.append(s);
  }
}

}  // namespace motet
