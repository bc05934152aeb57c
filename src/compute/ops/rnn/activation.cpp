#include "compute/ops/rnn/activation.h"

#include <algorithm>
#include <cmath>

#include "compute/ops/vector/loops.h"

namespace motet::ops {
namespace {

using Kind = Activation::Kind;

struct Known {
  std::string_view name;  // in lower case: exporters differ
  Kind kind;
  bool has_alpha, has_beta;
  float alpha, beta;  // defaults
};
constexpr Known kKnown[] = {
    {"relu", Kind::kRelu, false, false, 0, 0},
    {"tanh", Kind::kTanh, false, false, 0, 0},
    {"sigmoid", Kind::kSigmoid, false, false, 0, 0},
    {"leakyrelu", Kind::kLeakyRelu, true, false, 0.01f, 0},
    {"elu", Kind::kElu, true, false, 1, 0},
    {"hardsigmoid", Kind::kHardSigmoid, true, true, 0.2f, 0.5f},
    {"thresholdedrelu", Kind::kThresholdedRelu, true, false, 1, 0},
    {"scaledtanh", Kind::kScaledTanh, true, true, 1, 1},
    {"affine", Kind::kAffine, true, true, 1, 0},
    {"softsign", Kind::kSoftsign, false, false, 0, 0},
    {"softplus", Kind::kSoftplus, false, false, 0, 0},
};

template <class T>
T activated(const Activation& f, T x) {
  const T a = f.alpha, b = f.beta;
  switch (f.kind) {
    case Kind::kRelu: return x < 0 ? T(0) : x;
    case Kind::kTanh: return std::tanh(x);
    case Kind::kSigmoid: return 1 / (1 + std::exp(-x));
    case Kind::kLeakyRelu: return x < 0 ? a * x : x;
    case Kind::kElu: return x < 0 ? a * std::expm1(x) : x;
    case Kind::kHardSigmoid: return std::min(T(1), std::max(T(0), a * x + b));
    case Kind::kThresholdedRelu: return x > a ? x : T(0);
    case Kind::kScaledTanh: return a * std::tanh(b * x);
    case Kind::kAffine: return a * x + b;
    case Kind::kSoftsign: return x / (1 + std::abs(x));
    case Kind::kSoftplus: return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
  }
  return x;
}

}  // namespace

Result<std::vector<Activation>> activations_of(const graph::Node& node, const std::vector<std::string_view>& defaults,
                                               size_t directions) {
  std::vector<std::string> names;
  const graph::Attribute* given = node.find("activations");
  if (given != nullptr && std::holds_alternative<std::vector<std::string>>(*given)) {
    names = std::get<std::vector<std::string>>(*given);
  } else {
    for (size_t d = 0; d < directions; ++d) names.insert(names.end(), defaults.begin(), defaults.end());
  }
  if (names.size() != defaults.size() * directions) {
    return unsupported(std::to_string(names.size()) + " activations; " + std::to_string(defaults.size() * directions) +
                       " are possible");
  }
  const std::vector<float> alphas = node.floats_or("activation_alpha", {}),
                           betas = node.floats_or("activation_beta", {});
  size_t alpha = 0, beta = 0;
  std::vector<Activation> result;
  for (const std::string& name : names) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    const Known* known =
        std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.name == lower; });
    if (known == std::end(kKnown)) return unsupported("activation '" + name + "'");
    Activation f{known->kind, known->alpha, known->beta};
    if (known->has_alpha && alpha < alphas.size()) f.alpha = alphas[alpha++];
    if (known->has_beta && beta < betas.size()) f.beta = betas[beta++];
    result.push_back(f);
  }
  return result;
}

void activate(const Activation& f, float* x, int64_t n) {
  const vec::Loops& loops = vec::loops();
  switch (f.kind) {
    case Kind::kRelu: return loops.unary(vec::Unary::kRelu, x, x, n, 0, 0);
    case Kind::kTanh: return loops.unary(vec::Unary::kTanh, x, x, n, 0, 0);
    case Kind::kSigmoid: return loops.unary(vec::Unary::kSigmoid, x, x, n, 0, 0);
    case Kind::kLeakyRelu: return loops.unary(vec::Unary::kLeakyRelu, x, x, n, f.alpha, 0);
    case Kind::kElu: return loops.unary(vec::Unary::kElu, x, x, n, f.alpha, 0);
    case Kind::kHardSigmoid: return loops.unary(vec::Unary::kHardSigmoid, x, x, n, f.alpha, f.beta);
    case Kind::kAffine: return loops.unary(vec::Unary::kScaleShift, x, x, n, f.alpha, f.beta);
    default: break;
  }
  for (int64_t i = 0; i < n; ++i) x[i] = activated(f, x[i]);
}

void activate(const Activation& f, double* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = activated(f, x[i]);
}

}  // namespace motet::ops
