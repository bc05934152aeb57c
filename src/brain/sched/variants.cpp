#include "brain/sched/variants.h"

#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "brain/sched/text.h"

namespace motet::brain {
namespace {

// Why it may not be taken; "" if it may.
std::string obstacle(const Variant& variant, double max_error) {
  if (!variant.refusal.empty()) return variant.refusal;
  if (!std::isfinite(variant.error))
    return "its answers cannot be compared with the exact ones: they have other shapes, or are not finite";
  if (variant.error > max_error)
    return "its error of " + error_text(variant.error) + " is above the bound of " + error_text(max_error);
  return "";
}

bool faster(const Variant& a, const Variant& b) {
  return a.predicted != b.predicted ? a.predicted < b.predicted : a.error < b.error;
}

}  // namespace

std::string error_text(double error) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.3g", error);
  return digits;
}

VariantChoice choose_variant(std::span<const Variant> variants, double max_error, bool fastest) {
  MOTET_CHECK(!variants.empty(), "there is always the exact variant");
  VariantChoice choice;
  choice.reasons.resize(variants.size());
  for (size_t i = 1; i < variants.size(); ++i) {
    choice.reasons[i] = obstacle(variants[i], max_error);
    if (!choice.reasons[i].empty()) continue;
    if (!fastest || faster(variants[i], variants[choice.chosen])) choice.chosen = i;
  }
  const Variant& chosen = variants[choice.chosen];
  for (size_t i = 0; i < variants.size(); ++i) {
    if (i == choice.chosen || !choice.reasons[i].empty()) continue;
    choice.reasons[i] = fastest ? "not faster than " + chosen.name +
                                      " by prediction: " + duration_text(variants[i].predicted) + " against " +
                                      duration_text(chosen.predicted)
                                : chosen.name + " was asked for";
  }
  return choice;
}

}  // namespace motet::brain
