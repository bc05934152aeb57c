// Gather, GatherElements, GatherND, ScatterElements, ScatterND. Indices come at run time and are checked there, one by
// one.
#include <algorithm>
#include <cstring>

#include "compute/ops/move/move.h"
#include "compute/ops/support/dispatch.h"
#include "compute/ops/support/function_kernel.h"
#include "compute/ops/support/request.h"

namespace motet::ops {
namespace {

constexpr const char* kFault = "an index is out of range";

// Reads indices of either width; a wrong one is reported once and answered with -1.
class Indices {
 public:
  Indices(const KernelArgs& args, size_t input, bool wide)
      : args_(args),
        narrow_(wide ? nullptr : input_data<int32_t>(args, input)),
        wide_(wide ? input_data<int64_t>(args, input) : nullptr) {}

  int64_t get(int64_t at, int64_t extent) const {
    int64_t index = wide_ != nullptr ? wide_[at] : narrow_[at];
    if (index < 0) index += extent;
    if (index >= 0 && index < extent) return index;
    args_.report_fault(kFault);
    return -1;
  }

 private:
  const KernelArgs& args_;
  const int32_t* narrow_;
  const int64_t* wide_;
};

Status expect_indices(const NodeRequest& request, size_t i) {
  return expect_type(request, i, {DType::kI32, DType::kI64});
}

// Adds, multiplies, or takes the greater or lesser, of the element there and the update.
using Combine = void (*)(std::byte* element, const std::byte* update, int64_t count);

template <class T, class F>
Combine combine_of(F) {
  return [](std::byte* element, const std::byte* update, int64_t count) {
    T* to = reinterpret_cast<T*>(element);
    const T* from = reinterpret_cast<const T*>(update);
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(F{}(to[i], from[i]));
  };
}

Result<Combine> combine_for(const std::string& reduction, DType dtype) {
  Combine result = nullptr;
  if (reduction == "none") {
    for_element_size(dtype_bytes(dtype), [&]<class T>(T) {
      result = [](std::byte* to, const std::byte* from, int64_t count) {
        std::memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
      };
    });
    return result;
  }
  for_number_type(dtype, [&]<class T>(T) {
    if (reduction == "add") result = combine_of<T>([](T a, T b) { return wrap(a) + wrap(b); });
    if (reduction == "mul") result = combine_of<T>([](T a, T b) { return wrap(a) * wrap(b); });
    if (reduction == "max") result = combine_of<T>([](T a, T b) { return a > b ? a : b; });
    if (reduction == "min") result = combine_of<T>([](T a, T b) { return a < b ? a : b; });
  });
  if (result == nullptr)
    return unsupported("reduction '" + reduction + "' of " + std::string(dtype_kserve_name(dtype)));
  return result;
}

void copy_whole(const KernelArgs& args, size_t bytes) {
  if (args.outputs[0].data != args.inputs[0].data && bytes > 0)
    std::memcpy(args.outputs[0].data, args.inputs[0].data, bytes);
}

}  // namespace

Result<KernelPtr> plan_gather(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  MOTET_RETURN_IF_ERROR(expect_indices(request, 1));
  const TensorSpec& data = request.inputs[0];
  const TensorSpec& indices = request.inputs[1];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 0), data.shape.size()));
  Shape shape(data.shape.begin(), data.shape.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), data.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.shape.end());
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, data.dtype, shape));
  const int64_t outer = product(data.shape, 0, axis);
  const int64_t extent = data.shape[axis];
  const int64_t count = elements(indices.shape);
  const auto size = static_cast<int64_t>(dtype_bytes(data.dtype));
  const int64_t row = product(data.shape, axis + 1, data.shape.size()) * size;
  const bool wide = indices.dtype == DType::kI64;
  return make_kernel([=](const KernelArgs& args, device::Team& team) {
    if (row == 0) return;
    const Indices index(args, 1, wide);
    team.for_range(outer * count, std::max<int64_t>(1, 65536 / row), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = index.get(i % count, extent);
        std::byte* to = args.outputs[0].data + i * row;
        if (at < 0) {
          std::memset(to, 0, static_cast<size_t>(row));
        } else {
          std::memcpy(to, args.inputs[0].data + (i / count * extent + at) * row, static_cast<size_t>(row));
        }
      }
    });
  });
}

Result<KernelPtr> plan_gather_elements(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  MOTET_RETURN_IF_ERROR(expect_indices(request, 1));
  const TensorSpec& data = request.inputs[0];
  const TensorSpec& indices = request.inputs[1];
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 0), data.shape.size()));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, data.dtype, indices.shape));
  if (indices.shape.size() != data.shape.size()) return unsupported(describe(indices) + " into " + describe(data));
  for (size_t d = 0; d < data.shape.size(); ++d) {
    if (d != axis && indices.shape[d] > data.shape[d])
      return unsupported(describe(indices) + " into " + describe(data));
  }
  const Shape extents = indices.shape;
  const Shape strides = strides_of(data.shape);
  const bool wide = indices.dtype == DType::kI64;
  const int64_t count = elements(extents);
  return make_kernel(
      [=, extent = data.shape[axis], bytes = dtype_bytes(data.dtype)](const KernelArgs& args, device::Team& team) {
        const Indices index(args, 1, wide);
        for_element_size(bytes, [&]<class T>(T) {
          const T* x = input_data<T>(args, 0);
          T* y = output_data<T>(args, 0);
          team.for_range(count, kGrain / 8, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              const int64_t at = std::max<int64_t>(0, index.get(i, extent));
              int64_t from = at * strides[axis];
              for (int64_t d = static_cast<int64_t>(extents.size()) - 1, rest = i; d >= 0; --d) {
                const auto u = static_cast<size_t>(d);
                if (u != axis) from += rest % extents[u] * strides[u];
                rest /= extents[u];
              }
              // An empty axis has no element 0 to answer with.
              y[i] = extent == 0 ? T{} : x[from];
            }
          });
        });
      });
}

namespace {

// GatherND and ScatterND address slices of data by tuples of `depth` indices after `batch` common extents.
struct Tuples {
  int64_t batch = 1;      // product of the common extents
  int64_t per_batch = 1;  // tuples for each
  int64_t depth = 0;
  Shape extents, strides;  // of the addressed axes; strides in slices
  int64_t slices = 1;      // per batch
  int64_t slice = 1;       // elements of one
  bool wide = false;

  // Slice number within the batch, or -1.
  int64_t locate(const Indices& indices, int64_t tuple) const {
    int64_t at = 0;
    for (int64_t k = 0; k < depth; ++k) {
      const auto u = static_cast<size_t>(k);
      const int64_t index = indices.get(tuple * depth + k, extents[u]);
      if (index < 0) return -1;
      at += index * strides[u];
    }
    return at;
  }
};

Result<Tuples> tuples_of(const TensorSpec& data, const TensorSpec& indices, int64_t batch_dims) {
  const auto rank = static_cast<int64_t>(data.shape.size());
  const auto index_rank = static_cast<int64_t>(indices.shape.size());
  const Error wrong =
      unsupported(describe(indices) + " into " + describe(data) + " with batch_dims " + std::to_string(batch_dims));
  if (batch_dims < 0 || index_rank < 1 || batch_dims >= index_rank || batch_dims > rank) return wrong;
  Tuples t;
  t.depth = indices.shape.back();
  if (t.depth < 0 || t.depth > rank - batch_dims) return wrong;
  const auto b = static_cast<size_t>(batch_dims);
  const auto after = static_cast<size_t>(batch_dims + t.depth);
  for (size_t d = 0; d < b; ++d) {
    if (indices.shape[d] != data.shape[d]) return wrong;
  }
  t.batch = product(data.shape, 0, b);
  t.per_batch = product(indices.shape, b, indices.shape.size() - 1);
  t.extents = Shape(data.shape.begin() + batch_dims, data.shape.begin() + batch_dims + t.depth);
  t.strides = strides_of(t.extents);
  t.slices = elements(t.extents);
  t.slice = product(data.shape, after, data.shape.size());
  t.wide = indices.dtype == DType::kI64;
  return t;
}

Shape tuple_result(const TensorSpec& data, const TensorSpec& indices, int64_t first) {
  Shape shape(indices.shape.begin(), indices.shape.end() - 1);
  shape.insert(shape.end(), data.shape.begin() + first + indices.shape.back(), data.shape.end());
  return shape;
}

}  // namespace

Result<KernelPtr> plan_gather_nd(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 2, 2));
  MOTET_RETURN_IF_ERROR(expect_indices(request, 1));
  const TensorSpec& data = request.inputs[0];
  const int64_t batch_dims = request.node.int_or("batch_dims", 0);
  MOTET_ASSIGN(Tuples t, tuples_of(data, request.inputs[1], batch_dims));
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, data.dtype, tuple_result(data, request.inputs[1], batch_dims)));
  const int64_t row = t.slice * static_cast<int64_t>(dtype_bytes(data.dtype));
  return make_kernel([t = std::move(t), row](const KernelArgs& args, device::Team& team) {
    const Indices indices(args, 1, t.wide);
    team.for_range(t.batch * t.per_batch, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, row)),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       const int64_t at = t.locate(indices, i);
                       std::byte* to = args.outputs[0].data + i * row;
                       if (at < 0) {
                         std::fill_n(to, row, std::byte{0});
                       } else if (row > 0) {
                         std::memcpy(to, args.inputs[0].data + (i / t.per_batch * t.slices + at) * row,
                                     static_cast<size_t>(row));
                       }
                     }
                   });
  });
}

Result<KernelPtr> plan_scatter_nd(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_indices(request, 1));
  const TensorSpec& data = request.inputs[0];
  const TensorSpec& updates = request.inputs[2];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, data.dtype, data.shape));
  MOTET_ASSIGN(Tuples t, tuples_of(data, request.inputs[1], 0));
  if (updates.dtype != data.dtype || updates.shape != tuple_result(data, request.inputs[1], 0)) {
    return unsupported("updates are " + describe(updates));
  }
  MOTET_ASSIGN(Combine combine, combine_for(request.node.string_or("reduction", "none"), data.dtype));
  const int64_t row = t.slice * static_cast<int64_t>(dtype_bytes(data.dtype));
  // One after another, since the same place may be written twice.
  return make_kernel(
      [t = std::move(t), combine, row, bytes = data.bytes()](const KernelArgs& args, device::Team& team) {
        auto all = [&](int, int) {
          copy_whole(args, bytes);
          const Indices indices(args, 1, t.wide);
          for (int64_t i = 0; i < t.per_batch; ++i) {
            const int64_t at = t.locate(indices, i);
            if (at >= 0) combine(args.outputs[0].data + at * row, args.inputs[2].data + i * row, t.slice);
          }
        };
        team.run(1, all);
      },
      {.in_place_of = 0});
}

Result<KernelPtr> plan_scatter_elements(const NodeRequest& request) {
  MOTET_RETURN_IF_ERROR(expect_inputs(request, 3, 3));
  MOTET_RETURN_IF_ERROR(expect_indices(request, 1));
  const TensorSpec& data = request.inputs[0];
  const TensorSpec& indices = request.inputs[1];
  const TensorSpec& updates = request.inputs[2];
  MOTET_RETURN_IF_ERROR(expect_output(request, 0, data.dtype, data.shape));
  MOTET_ASSIGN(size_t axis, normalise_axis(request.node.int_or("axis", 0), data.shape.size()));
  if (updates.dtype != data.dtype || updates.shape != indices.shape || indices.shape.size() != data.shape.size()) {
    return unsupported("indices are " + describe(indices) + " and updates " + describe(updates));
  }
  for (size_t d = 0; d < data.shape.size(); ++d) {
    if (d != axis && indices.shape[d] > data.shape[d])
      return unsupported(describe(indices) + " into " + describe(data));
  }
  MOTET_ASSIGN(Combine combine, combine_for(request.node.string_or("reduction", "none"), data.dtype));
  const Shape extents = indices.shape;
  const Shape strides = strides_of(data.shape);
  const auto size = static_cast<int64_t>(dtype_bytes(data.dtype));
  const bool wide = indices.dtype == DType::kI64;
  return make_kernel(
      [=, count = elements(extents), extent = data.shape[axis], bytes = data.bytes()](const KernelArgs& args,
                                                                                      device::Team& team) {
        auto all = [&](int, int) {
          copy_whole(args, bytes);
          const Indices index(args, 1, wide);
          for (int64_t i = 0; i < count; ++i) {
            const int64_t at = index.get(i, extent);
            if (at < 0) continue;
            int64_t to = at * strides[axis];
            for (size_t d = extents.size(), rest = static_cast<size_t>(i); d-- > 0;) {
              const auto e = static_cast<size_t>(extents[d]);
              if (d != axis) to += static_cast<int64_t>(rest % e) * strides[d];
              rest /= e;
            }
            combine(args.outputs[0].data + to * size, args.inputs[2].data + i * size, 1);
          }
        };
        team.run(1, all);
      },
      {.in_place_of = 0});
}

}  // namespace motet::ops
