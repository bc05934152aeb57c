#include "compute/graph/pass.h"

#include <algorithm>
#include <array>

#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"
#include "compute/graph/text.h"

namespace motet::graph {
namespace {

// fuse-activation runs before and after fuse-residual: networks add before an activation or after it.
constexpr std::array<Pass, 20> kPasses = {{
    {"inline-if", "replaces an If whose condition is known by the branch taken", inline_if},
    {"expand-quantized", "lets quantised ops without kernels for int8 compute in fp32", expand_quantized},
    {"fuse-quantized", "makes ops between dequantisation and quantisation work on the quantised numbers",
     fuse_quantized},
    {"fold-constants", "computes what depends on constants only", fold_constants},
    {"remove-no-ops", "removes nodes that copy their input, and joins transposes and reshapes", remove_no_ops},
    {"eliminate-dead", "removes what no output needs", eliminate_dead},
    {"eliminate-common-subexpressions", "computes equal nodes once", eliminate_common_subexpressions},
    {"fuse-dynamic", "makes one product of what quantises its input in the call", fuse_dynamic},
    {"fold-batch-norm", "folds batch normalisation and channel scales into convolutions and products", fold_batch_norm},
    {"recognise-pictures", "recognises global pooling, group norms and channel shuffles in their parts",
     recognise_pictures},
    {"fuse-patterns", "recognises Gelu, HardSwish and Swish in their parts", fuse_patterns},
    {"fuse-attention", "makes one node of attention and of what moves its operands", fuse_attention},
    {"fuse-bias", "makes additions of a constant per channel the bias of the convolution or product before", fuse_bias},
    {"sink-reshapes", "moves reshapes of a product behind what can be fused with it", sink_reshapes},
    {"split-transposed-convolutions", "makes those whose windows do not overlap a product and DepthToSpace",
     split_transposed_convolutions},
    {"fuse-activation", "applies activations as the convolution or product before stores its result", fuse_activation},
    {"fuse-residual", "adds residuals as the convolution or product before stores its result", fuse_residual},
    {"fuse-activation", "applies activations as the convolution or product before stores its result", fuse_activation},
    {"eliminate-dead", "removes what no output needs", eliminate_dead},
    {"quantise-products", "keeps weights of products as int8 where the precision allows", quantise_products},
}};

Status check_names(const std::set<std::string>& disabled) {
  for (const std::string& name : disabled) {
    bool known = std::any_of(kPasses.begin(), kPasses.end(), [&](const Pass& pass) { return pass.name == name; });
    if (known) continue;
    std::set<std::string_view> names;
    for (const Pass& pass : kPasses) names.insert(pass.name);
    std::string list;
    for (std::string_view each : names) list += (list.empty() ? "" : ", ") + std::string(each);
    return invalid_argument("no pass is named " + in_quotes(name) + "; the passes are " + list);
  }
  return {};
}

// The pass on the graph and on every body in it.
Result<int> run_everywhere(const Pass& pass, Graph& graph, const PassContext& context) {
  MOTET_ASSIGN(int rewrites, pass.run(graph, context));
  for (Node& node : graph.nodes) {
    for (const auto& [key, body] : bodies_of(node)) {
      auto copy = std::make_shared<Graph>(*body);
      MOTET_ASSIGN(int inside, run_everywhere(pass, *copy, context));
      if (inside == 0) continue;
      rewrites += inside;
      node.attributes.insert_or_assign(key, Attribute(std::shared_ptr<const Graph>(std::move(copy))));
    }
  }
  return rewrites;
}

Status check_after(const Pass& pass, const Graph& graph) {
#ifdef MOTET_DEBUG
  Status sound = graph.verify();
  if (!sound.ok()) return internal_error("after pass " + std::string(pass.name) + ": " + sound.error().message);
#else
  (void)pass;
  (void)graph;
#endif
  return {};
}

}  // namespace

std::span<const Pass> all_passes() { return kPasses; }

Result<std::vector<PassReport>> run_passes(Graph& graph, const PassContext& context,
                                           const std::set<std::string>& disabled, const Clock& clock) {
  MOTET_RETURN_IF_ERROR(check_names(disabled));
  MOTET_RETURN_IF_ERROR(infer_shapes(graph, context));
  std::vector<PassReport> reports;
  for (const Pass& pass : kPasses) {
    PassReport report;
    report.name = pass.name;
    report.disabled = disabled.contains(report.name);
    Nanos start = clock.now();
    if (!report.disabled) {
      MOTET_ASSIGN(report.rewrites, run_everywhere(pass, graph, context));
      MOTET_RETURN_IF_ERROR(check_after(pass, graph));
      if (report.rewrites > 0) {
        Status inferred = infer_shapes(graph, context);
        if (!inferred.ok())
          return Error{inferred.error().code, "after pass " + report.name + ": " + inferred.error().message};
      }
    }
    report.took = clock.now() - start;
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace motet::graph
