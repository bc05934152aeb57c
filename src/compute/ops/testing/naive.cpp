#include "compute/ops/testing/naive.h"

#include <algorithm>
#include <limits>

namespace motet::ops::testing {

double& Array::at(const Shape& index) {
  int64_t offset = 0;
  for (size_t d = 0; d < shape.size(); ++d) offset = offset * shape[d] + index[d];
  return values.at(static_cast<size_t>(offset));
}

void for_each_index(const Shape& shape, const std::function<void(const Shape&)>& f) {
  const int64_t count = elements(shape);
  Shape index(shape.size());
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    for (size_t d = shape.size(); d-- > 0;) {
      index[d] = rest % shape[d];
      rest /= shape[d];
    }
    f(index);
  }
}

Array map(const Array& x, const std::function<double(double)>& f) {
  Array y = x;
  for (double& v : y.values) v = f(v);
  return y;
}

namespace {

// The index into an operand of `shape` for a result's index under broadcasting.
Shape squeezed(const Shape& index, const Shape& shape) {
  Shape own(index.end() - static_cast<std::ptrdiff_t>(shape.size()), index.end());
  for (size_t d = 0; d < shape.size(); ++d) own[d] = shape[d] == 1 ? 0 : own[d];
  return own;
}

Shape common_shape(const Shape& a, const Shape& b) {
  Shape result(std::max(a.size(), b.size()), 1);
  for (const Shape* s : {&a, &b}) {
    for (size_t d = 0; d < s->size(); ++d) {
      int64_t& extent = result[result.size() - s->size() + d];
      if ((*s)[d] != 1) extent = (*s)[d];
    }
  }
  return result;
}

}  // namespace

Array broadcast(const Array& a, const Array& b, const std::function<double(double, double)>& f) {
  Array y = Array::filled(common_shape(a.shape, b.shape), 0);
  for_each_index(y.shape, [&](const Shape& i) { y.at(i) = f(a.at(squeezed(i, a.shape)), b.at(squeezed(i, b.shape))); });
  return y;
}

Array conv(const Array& x, const Array& w, const Array* bias, const ConvParameters& p) {
  const size_t spatial = x.shape.size() - 2;
  Shape out{x.shape[0], w.shape[0]};
  for (size_t d = 0; d < spatial; ++d) {
    const int64_t reach = (w.shape[d + 2] - 1) * p.dilations[d] + 1;
    out.push_back((x.shape[d + 2] + p.pads[d] + p.pads[spatial + d] - reach) / p.strides[d] + 1);
  }
  Array y = Array::filled(out, 0);
  const int64_t per_group = w.shape[0] / p.group;
  for_each_index(out, [&](const Shape& o) {
    double sum = bias != nullptr ? bias->values[static_cast<size_t>(o[1])] : 0;
    Shape taps(w.shape.begin() + 1, w.shape.end());
    for_each_index(taps, [&](const Shape& k) {
      Shape from{o[0], o[1] / per_group * w.shape[1] + k[0]}, weight{o[1], k[0]};
      for (size_t d = 0; d < spatial; ++d) {
        const int64_t at = o[d + 2] * p.strides[d] - p.pads[d] + k[d + 1] * p.dilations[d];
        if (at < 0 || at >= x.shape[d + 2]) return;
        from.push_back(at);
        weight.push_back(k[d + 1]);
      }
      sum += x.at(from) * w.at(weight);
    });
    y.at(o) = sum;
  });
  return y;
}

Array conv_transpose(const Array& x, const Array& w, const Array* bias, const ConvParameters& p) {
  const size_t spatial = x.shape.size() - 2;
  Shape out{x.shape[0], w.shape[1] * p.group};
  for (size_t d = 0; d < spatial; ++d) {
    out.push_back((x.shape[d + 2] - 1) * p.strides[d] + (w.shape[d + 2] - 1) * p.dilations[d] + 1 - p.pads[d] -
                  p.pads[spatial + d]);
  }
  Array y = Array::filled(out, 0);
  if (bias != nullptr) for_each_index(out, [&](const Shape& o) { y.at(o) = bias->values[static_cast<size_t>(o[1])]; });
  const int64_t in_each = x.shape[1] / p.group;
  for_each_index(x.shape, [&](const Shape& i) {
    Shape taps(w.shape.begin() + 1, w.shape.end());
    for_each_index(taps, [&](const Shape& k) {
      Shape to{i[0], i[1] / in_each * w.shape[1] + k[0]}, weight{i[1], k[0]};
      for (size_t d = 0; d < spatial; ++d) {
        const int64_t at = i[d + 2] * p.strides[d] - p.pads[d] + k[d + 1] * p.dilations[d];
        if (at < 0 || at >= out[d + 2]) return;
        to.push_back(at);
        weight.push_back(k[d + 1]);
      }
      y.at(to) += x.at(i) * w.at(weight);
    });
  });
  return y;
}

Array pool(const Array& x, const Shape& kernel, const ConvParameters& p, bool max, bool count_padding) {
  Shape out{x.shape[0], x.shape[1]};
  for (size_t d = 0; d < 2; ++d)
    out.push_back((x.shape[d + 2] + p.pads[d] + p.pads[d + 2] - kernel[d]) / p.strides[d] + 1);
  Array y = Array::filled(out, 0);
  for_each_index(out, [&](const Shape& o) {
    double best = -std::numeric_limits<double>::infinity(), sum = 0, count = 0;
    for_each_index(kernel, [&](const Shape& k) {
      const int64_t h = o[2] * p.strides[0] - p.pads[0] + k[0], w = o[3] * p.strides[1] - p.pads[1] + k[1];
      if (h < 0 || w < 0 || h >= x.shape[2] || w >= x.shape[3]) return;
      best = std::max(best, x.at({o[0], o[1], h, w}));
      sum += x.at({o[0], o[1], h, w});
      count += 1;
    });
    y.at(o) = max ? best : sum / (count_padding ? static_cast<double>(elements(kernel)) : count);
  });
  return y;
}

Array matmul(const Array& a, const Array& b) {
  const Shape outer_a(a.shape.begin(), a.shape.end() - 2), outer_b(b.shape.begin(), b.shape.end() - 2);
  const Shape outer = common_shape(outer_a, outer_b);
  const auto m = static_cast<size_t>(a.shape[a.shape.size() - 2]), k = static_cast<size_t>(a.shape.back());
  const auto n = static_cast<size_t>(b.shape.back());
  Shape out = outer;
  out.insert(out.end(), {static_cast<int64_t>(m), static_cast<int64_t>(n)});
  Array y = Array::filled(out, 0);
  auto matrix = [](const Shape& index, const Shape& own, size_t elements_each) {
    size_t at = 0;
    const Shape inner = squeezed(index, own);
    for (size_t d = 0; d < own.size(); ++d) at = at * static_cast<size_t>(own[d]) + static_cast<size_t>(inner[d]);
    return at * elements_each;
  };
  size_t to = 0;
  for_each_index(outer, [&](const Shape& lead) {
    const double* left = a.values.data() + matrix(lead, outer_a, m * k);
    const double* right = b.values.data() + matrix(lead, outer_b, k * n);
    for (size_t r = 0; r < m; ++r, to += n) {
      for (size_t i = 0; i < k; ++i)
        for (size_t c = 0; c < n; ++c) y.values[to + c] += left[r * k + i] * right[i * n + c];
    }
  });
  return y;
}

Array transpose(const Array& x, const std::vector<size_t>& order) {
  Shape shape;
  for (size_t axis : order) shape.push_back(x.shape[axis]);
  Array y = Array::filled(shape, 0);
  for_each_index(shape, [&](const Shape& o) {
    Shape from(order.size());
    for (size_t d = 0; d < order.size(); ++d) from[order[d]] = o[d];
    y.at(o) = x.at(from);
  });
  return y;
}

Array reduce(const Array& x, const std::vector<bool>& axes, double start,
             const std::function<double(double, double)>& f) {
  Shape shape = x.shape;
  for (size_t d = 0; d < shape.size(); ++d) shape[d] = axes[d] ? 1 : shape[d];
  Array y = Array::filled(shape, start);
  for_each_index(x.shape, [&](const Shape& i) {
    Shape to = i;
    for (size_t d = 0; d < to.size(); ++d) to[d] = axes[d] ? 0 : to[d];
    y.at(to) = f(y.at(to), x.at(i));
  });
  return y;
}

Array softmax(const Array& x, size_t axis, bool log) {
  std::vector<bool> axes(x.shape.size());
  axes[axis] = true;
  const Array sum =
      reduce(map(x, [](double v) { return std::exp(v); }), axes, 0, [](double a, double v) { return a + v; });
  return broadcast(x, sum, [log](double v, double s) { return log ? v - std::log(s) : std::exp(v) / s; });
}

Array layer_norm(const Array& x, size_t axis, const Array& scale, const Array& bias, double epsilon) {
  std::vector<bool> axes(x.shape.size());
  double n = 1;
  for (size_t d = axis; d < axes.size(); ++d) {
    axes[d] = true;
    n *= static_cast<double>(x.shape[d]);
  }
  auto plus = [](double a, double v) { return a + v; };
  const Array mean = map(reduce(x, axes, 0, plus), [n](double v) { return v / n; });
  const Array centred = broadcast(x, mean, [](double v, double m) { return v - m; });
  const Array variance =
      map(reduce(map(centred, [](double v) { return v * v; }), axes, 0, plus), [n](double v) { return v / n; });
  const Array unit = broadcast(centred, variance, [epsilon](double v, double s) { return v / std::sqrt(s + epsilon); });
  const Array scaled = broadcast(unit, scale, [](double v, double s) { return v * s; });
  return broadcast(scaled, bias, plus);
}

Array channel_affine(const Array& x, const std::vector<double>& a, const std::vector<double>& b) {
  Array y = x;
  for_each_index(x.shape, [&](const Shape& i) {
    const auto c = static_cast<size_t>(i[1]);
    y.at(i) = a[c] * x.at(i) + b[c];
  });
  return y;
}

Array lstm(const Array& x, const Array& w, const Array& r, const Array& bias, bool reverse) {
  const int64_t time = x.shape[0], batch = x.shape[1], hidden = r.shape[2];
  Array y = Array::filled({time, 1, batch, hidden}, 0);
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<double> h(static_cast<size_t>(hidden)), c(h.size());
    for (int64_t s = 0; s < time; ++s) {
      const int64_t t = reverse ? time - 1 - s : s;
      auto gate = [&](int64_t g, int64_t j) {
        const int64_t row = g * hidden + j;
        double v = bias.at({0, row}) + bias.at({0, 4 * hidden + row});
        for (int64_t i = 0; i < x.shape[2]; ++i) v += w.at({0, row, i}) * x.at({t, b, i});
        for (int64_t i = 0; i < hidden; ++i) v += r.at({0, row, i}) * h[static_cast<size_t>(i)];
        return v;
      };
      std::vector<double> next(h.size());
      for (int64_t j = 0; j < hidden; ++j) {
        double& cell = c[static_cast<size_t>(j)];
        cell = sigmoid(gate(2, j)) * cell + sigmoid(gate(0, j)) * std::tanh(gate(3, j));
        next[static_cast<size_t>(j)] = sigmoid(gate(1, j)) * std::tanh(cell);
      }
      h = next;
      for (int64_t j = 0; j < hidden; ++j) y.at({t, 0, b, j}) = h[static_cast<size_t>(j)];
    }
  }
  return y;
}

}  // namespace motet::ops::testing
