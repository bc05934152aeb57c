#include "compute/ops/registry.h"

#include <algorithm>

#include "compute/ops/support/request.h"
#include "compute/ops/table.h"

namespace motet::ops {

std::span<const Implementation> implementations(std::string_view domain, std::string_view op) {
  if (domain == "ai.onnx") domain = "";
  for (std::span<const Row> rows : all_rows()) {
    for (const Row& row : rows) {
      if (row.op == op && row.domain == domain) return {row.list.data(), row.count};
    }
  }
  return {};
}

std::vector<std::string> supported_ops() {
  std::vector<std::string> names;
  for (std::span<const Row> rows : all_rows()) {
    for (const Row& row : rows) {
      names.push_back(row.domain.empty() ? std::string(row.op) : std::string(row.domain) + ":" + std::string(row.op));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

std::string name_of(const graph::Node& node) {
  std::string name =
      (node.domain.empty() ? "" : node.domain + ":") + node.op + " (opset " + std::to_string(node.opset) + ")";
  return node.name.empty() ? name : name + " '" + node.name + "'";
}

Error refused_by_all(const NodeRequest& request, const std::vector<Refusal>& refusals) {
  std::string message = "nothing here runs " + name_of(request.node) + " of ";
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    message += (i == 0 ? "" : ", ") + (request.present[i] ? describe(request.inputs[i]) : std::string("nothing"));
  }
  if (refusals.empty()) message += ": no implementation of that op is known";
  for (const Refusal& refusal : refusals) message += "; " + refusal.implementation + ": " + refusal.reason;
  return unsupported(std::move(message));
}

}  // namespace

Result<Planned> plan_kernel(const NodeRequest& request) {
  Planned planned;
  for (const Implementation& implementation : implementations(request.node.domain, request.node.op)) {
    Result<KernelPtr> kernel = implementation.plan(request);
    if (kernel.ok()) {
      planned.kernel = std::move(kernel).value();
      return planned;
    }
    planned.refusals.push_back({std::string(implementation.name), kernel.error().message});
  }
  return refused_by_all(request, planned.refusals);
}

}  // namespace motet::ops
