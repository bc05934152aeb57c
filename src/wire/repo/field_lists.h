// The compatibility lists of the model config: of every field, whether Motet honours it, takes it as a hint and does
// something else instead, or refuses a config that sets it. Kept here and nowhere else; what is printed for a reader is
// made from them. A field that holds its default says nothing and is never refused.
//
// Any thread may call these; nothing is kept between calls.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace inference {
class ModelConfig;
}

namespace motet::repo {

enum class Treatment : uint8_t { kHonoured, kHint, kRefused };

struct FieldRule {
  std::string_view
      field;  // dotted path; a rule on a message covers what is in it, save where a longer path has its own
  Treatment treatment;
  std::string_view note;  // honoured: what it does; hint: what Motet does instead; refused: why, and what to do
};

// In the order in which a reader wants them. Every field of the schema is covered (tested).
std::span<const FieldRule> field_rules();

// The hints among the fields that `config` sets, a line each, or an Error naming the first refused field and its value.
Result<std::vector<std::string>> check_fields(const inference::ModelConfig& config);

// The three lists and the `parameters` that the server reads, as Markdown: the text of docs/config.md.
std::string describe_field_lists();

}  // namespace motet::repo
