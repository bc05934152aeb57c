#include "compute/graph/infer.h"
#include "compute/graph/text.h"

namespace motet::graph {

SymShape unknown_shape(size_t rank) { return SymShape(rank); }

SymShape shape_of(std::span<const int64_t> extents) {
  SymShape out;
  out.reserve(extents.size());
  for (int64_t extent : extents) out.push_back(dim_of(extent));
  return out;
}

std::string shape_text(const SymShape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ",";
    if (shape[i].known()) {
      out += std::to_string(shape[i].extent);
    } else {
      out += shape[i].symbol.empty() ? "?" : in_quotes(shape[i].symbol);
    }
  }
  return out + "]";
}

bool conflict(const Dim& a, const Dim& b) { return a.known() && b.known() && a.extent != b.extent; }

bool same(const Dim& a, const Dim& b) {
  if (a.known() || b.known()) return a.extent == b.extent;
  return !a.symbol.empty() && a.symbol == b.symbol;
}

bool same(const SymShape& a, const SymShape& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!same(a[i], b[i])) return false;
  return true;
}

Dim merge(const Dim& a, const Dim& b) {
  if (a.known()) return a;
  if (b.known()) return b;
  return a.symbol.empty() ? b : a;
}

Dim either(const Dim& a, const Dim& b) { return same(a, b) ? a : unknown_dim(); }

Dim add(const Dim& a, int64_t b) { return add(a, dim_of(b)); }

Dim add(const Dim& a, const Dim& b) {
  if (a.known() && a.extent == 0) return b;
  if (b.known() && b.extent == 0) return a;
  if (!a.known() || !b.known()) return unknown_dim();
  auto sum = checked_add(a.extent, b.extent);
  return sum && *sum >= 0 ? dim_of(*sum) : unknown_dim();
}

Dim multiply(const Dim& a, const Dim& b) {
  if (a.known() && a.extent == 1) return b;
  if (b.known() && b.extent == 1) return a;
  if (!a.known() || !b.known()) return unknown_dim();
  auto product = checked_multiply(a.extent, b.extent);
  return product ? dim_of(*product) : unknown_dim();
}

Result<SymShape> broadcast(const Inference& n, const SymShape& a, const SymShape& b) {
  const SymShape& longer = a.size() >= b.size() ? a : b;
  const SymShape& shorter = a.size() >= b.size() ? b : a;
  SymShape out = longer;
  size_t shift = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    const Dim& x = longer[i + shift];
    const Dim& y = shorter[i];
    Dim& to = out[i + shift];
    if (x.known() && x.extent == 1) {
      to = y;
    } else if ((y.known() && y.extent == 1) || same(x, y)) {
      to = x;
    } else if (conflict(x, y)) {
      return n.error("shapes " + shape_text(a) + " and " + shape_text(b) + " do not broadcast: extents " +
                     std::to_string(x.extent) + " and " + std::to_string(y.extent) + " differ and neither is 1");
    } else {
      // Whatever the open one is, it can only be 1 or the known one.
      to = x.known() ? x : y.known() ? y : unknown_dim();
    }
  }
  return out;
}

}  // namespace motet::graph
