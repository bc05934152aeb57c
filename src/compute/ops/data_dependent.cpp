#include "compute/ops/data_dependent.h"

#include <string_view>

#include "compute/ops/choose/choose.h"

namespace motet::ops {
namespace {

struct DataRow {
  std::string_view op;
  size_t inputs;  // required
  Result<std::vector<Tensor>> (*compute)(const graph::Node& node, ChosenInputs inputs);
};

constexpr DataRow kRows[] = {
    {"Compress", 2, compress},
    {"NonMaxSuppression", 2, non_max_suppression},
    {"NonZero", 1, non_zero},
    {"Unique", 1, unique},
};

const DataRow* find(const graph::Node& node) {
  if (!node.domain.empty()) return nullptr;
  for (const DataRow& row : kRows)
    if (row.op == node.op) return &row;
  return nullptr;
}

}  // namespace

bool shaped_by_data(const graph::Node& node) { return find(node) != nullptr; }

Result<std::vector<Tensor>> compute_from_data(const graph::Node& node, std::span<const Tensor* const> inputs) {
  const DataRow* row = find(node);
  MOTET_CHECK(row != nullptr, "an op whose shape depends on data");
  for (size_t i = 0; i < row->inputs; ++i)
    if (i >= inputs.size() || inputs[i] == nullptr)
      return invalid_argument("input " + std::to_string(i) + " is absent");
  MOTET_ASSIGN(std::vector<Tensor> results, row->compute(node, inputs));
  results.resize(std::max(results.size(), node.outputs.size()));
  return results;
}

}  // namespace motet::ops
