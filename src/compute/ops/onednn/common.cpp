#include "compute/ops/onednn/common.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "compute/device/team.h"
#include "compute/graph/file_map.h"

namespace motet::ops::onednn {
namespace {

using dnnl::algorithm;

std::optional<dnnl::memory::data_type> data_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return dnnl::memory::data_type::f32;
    case DType::kI32: return dnnl::memory::data_type::s32;
    case DType::kI8: return dnnl::memory::data_type::s8;
    case DType::kU8: return dnnl::memory::data_type::u8;
    case DType::kBF16: return dnnl::memory::data_type::bf16;
    default: return std::nullopt;
  }
}

dnnl::stream& thread_stream() {
  thread_local dnnl::stream stream(cpu_engine());
  return stream;
}

thread_local int thread_parts = 1;

size_t round_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

std::optional<Desc> describe(const TensorSpec& spec) {
  auto type = data_type(spec.dtype);
  if (!type || spec.shape.size() > DNNL_MAX_NDIMS || elements(spec.shape) == 0) return std::nullopt;
  if (spec.layout != Layout::kRowMajor) return in_layout(spec.shape, spec.layout, spec.dtype);
  Dims dims = spec.shape.empty() ? Dims{1} : Dims(spec.shape);
  Dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return Desc(dims, *type, strides);
}

dnnl::memory::data_type type_of(DType dtype) {
  auto type = data_type(dtype);
  MOTET_CHECK(type.has_value(), "a type that oneDNN holds");
  return *type;
}

Desc row_major(const Dims& dims, DType dtype) {
  TensorSpec spec{.dtype = dtype, .shape = dims};
  auto desc = describe(spec);
  MOTET_CHECK(desc.has_value(), "a tensor that oneDNN holds");
  return *desc;
}

Desc in_layout(const Dims& dims, Layout layout, DType dtype) {
  using tag = dnnl::memory::format_tag;
  if (layout == Layout::kRowMajor) return row_major(dims, dtype);
  MOTET_CHECK(dims.size() == 4, "only 4-D tensors are blocked");
  tag format = layout == Layout::kNhwc ? tag::acdb : layout == Layout::kNChw8c ? tag::aBcd8b : tag::aBcd16b;
  return {dims, type_of(dtype), format};
}

Desc any_layout(const Dims& dims, DType dtype) { return {dims, type_of(dtype), dnnl::memory::format_tag::any}; }

std::optional<Layout> layout_of(const Desc& desc) {
  Dims dims = desc.dims();
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kU8, DType::kI8, DType::kI32}) {
    if (type_of(dtype) != desc.data_type()) continue;
    if (desc == row_major(dims, dtype)) return Layout::kRowMajor;
    if (dims.size() != 4) return std::nullopt;
    for (Layout layout : {Layout::kNhwc, Layout::kNChw8c, Layout::kNChw16c})
      if (desc == in_layout(dims, layout, dtype)) return layout;
  }
  return std::nullopt;
}

struct PrimitiveKernel::Bound {
  struct Memory {
    dnnl::memory memory;
    Operand operand;
  };
  std::vector<Memory> memories;            // of all stages, in order
  std::vector<dnnl_exec_arg_t> arguments;  // the same, as the C interface takes them
};

PrimitiveKernel::PrimitiveKernel(size_t inputs, size_t outputs)
    : input_layouts_(inputs, Layout::kRowMajor), output_layouts_(outputs, Layout::kRowMajor) {}

PrimitiveKernel::~PrimitiveKernel() { delete idle_.load(std::memory_order_acquire); }

void PrimitiveKernel::add(const dnnl::primitive_desc_base& description, dnnl::primitive primitive,
                          std::vector<Binding> bindings) {
  std::erase_if(bindings, [](const Binding& b) { return b.desc.get_size() == 0; });
  Desc pad = description.query_md(dnnl::query::scratchpad_md);
  if (pad.get_size() > 0) {
    // Fixed up in run(): scratchpads of all stages share the space after own_scratch_, known only at the end.
    bindings.push_back({DNNL_ARG_SCRATCHPAD, Operand::scratch(SIZE_MAX), pad});
    primitive_scratch_ = std::max(primitive_scratch_, round_up(pad.get_size()));
  }
  if (name_.empty()) name_ = description.impl_info_str();
  stages_.push_back({std::move(primitive), std::move(bindings), thread_parts, nullptr});
}

void PrimitiveKernel::add_reorder(const Desc& from, const Operand& source, const Desc& to, const Operand& destination) {
  dnnl::reorder::primitive_desc description(cpu_engine(), from, cpu_engine(), to, attributes());
  add(description, dnnl::reorder(description), {{DNNL_ARG_FROM, source, from}, {DNNL_ARG_TO, destination, to}});
}

Operand PrimitiveKernel::reserve(size_t bytes) {
  Operand operand = Operand::scratch(own_scratch_);
  own_scratch_ += round_up(bytes);
  return operand;
}

void PrimitiveKernel::keep(WeightCache::Packed packed) { kept_.push_back(std::move(packed)); }

size_t PrimitiveKernel::packed_bytes() const {
  size_t sum = 0;
  for (const auto& packed : kept_) sum += packed->bytes();
  return sum;
}

Status PrimitiveKernel::finish() const {
  std::call_once(finished_, [this] {
    try {
      for (const Stage& stage : stages_) {
        if (!stage.generate) continue;
        PartsScope parts(stage.parts);
        stage.primitive = stage.generate();
        stage.generate = nullptr;
      }
    } catch (const dnnl::error& e) {
      finish_status_ = internal_error(std::string("oneDNN cannot generate what it has planned: ") + e.what());
    }
    for (const WeightCache::Packed& packed : kept_) packed->prepare();
  });
  return finish_status_;
}

bool PrimitiveKernel::reads(size_t input) const {
  for (const Stage& stage : stages_)
    for (const Binding& b : stage.bindings)
      if (b.operand.kind == Operand::Kind::kInput && b.operand.index == input) return true;
  return false;
}

void PrimitiveKernel::run(const KernelArgs& args, device::Team& team) const {
  MOTET_CHECK(finish().ok(), "a kernel that runs could be finished");
  device::TeamScope scope(team);
  std::unique_ptr<Bound> bound(idle_.exchange(nullptr, std::memory_order_acq_rel));
  if (!bound) {
    bound = std::make_unique<Bound>();
    for (const Stage& stage : stages_) {
      for (const Binding& b : stage.bindings) {
        bound->memories.push_back({dnnl::memory(b.desc, cpu_engine(), DNNL_MEMORY_NONE), b.operand});
        bound->arguments.push_back({b.argument, bound->memories.back().memory.get()});
      }
    }
  }
  auto address = [&](const Operand& operand) -> void* {
    switch (operand.kind) {
      case Operand::Kind::kInput: return args.inputs[operand.index].data;
      case Operand::Kind::kOutput: return args.outputs[operand.index].data;
      case Operand::Kind::kScratch: return args.scratch + (operand.index == SIZE_MAX ? own_scratch_ : operand.index);
      case Operand::Kind::kFixed: return const_cast<std::byte*>(operand.fixed->data());
    }
    return nullptr;
  };
  dnnl_stream_t stream = thread_stream().get();
  size_t first = 0;
  for (const Stage& stage : stages_) {
    if (!team.begin_stage()) {
      first += stage.bindings.size();
      continue;
    }
    for (size_t i = first; i < first + stage.bindings.size(); ++i) {
      auto status = dnnl_memory_set_data_handle(bound->memories[i].memory.get(), address(bound->memories[i].operand));
      MOTET_CHECK(status == dnnl_success, "oneDNN takes an address");
    }
    device::set_compile_width(stage.parts);  // what oneDNN's regions without a number of their own take
    auto status = dnnl_primitive_execute(stage.primitive.get(), stream, static_cast<int>(stage.bindings.size()),
                                         bound->arguments.data() + first);
    MOTET_CHECK(status == dnnl_success, "oneDNN runs a primitive it has planned");
    first += stage.bindings.size();
  }
  delete idle_.exchange(bound.release(), std::memory_order_acq_rel);
}

bool is_slow(const std::string& implementation) { return implementation.find("ref") != std::string::npos; }

bool has_barriers(const std::string& implementation) {
  // Found by counting GOMP_barrier calls: only the classic gemm (not brgemm), where its threads share what they have
  // packed. Where they split K they wait without a call, so that running parts one after another to count may hang.
  size_t at = implementation.find("gemm");
  return at != std::string::npos && (at < 2 || implementation.compare(at - 2, 2, "br") != 0);
}

void set_parts(int width) {
  thread_parts = std::max(1, width);
  device::set_compile_width(thread_parts);
}

int current_parts() { return thread_parts; }

dnnl::primitive_attr attributes(const dnnl::post_ops& ops) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_post_ops(ops);
  return attr;
}

Result<FusedOps> fuse(std::span<const graph::PostOp> post_ops) {
  using Kind = graph::PostOp::Kind;
  FusedOps fused;
  auto eltwise = [&](algorithm a, float alpha = 0, float beta = 0) { fused.ops.append_eltwise(1.0F, a, alpha, beta); };
  for (const graph::PostOp& op : post_ops) {
    switch (op.kind) {
      case Kind::kRelu: eltwise(algorithm::eltwise_relu); break;
      case Kind::kClip: eltwise(algorithm::eltwise_clip, op.alpha, op.beta); break;
      case Kind::kSigmoid: eltwise(algorithm::eltwise_logistic); break;
      case Kind::kTanh: eltwise(algorithm::eltwise_tanh); break;
      case Kind::kHardSigmoid:
        eltwise(algorithm::eltwise_linear, op.alpha, op.beta);
        eltwise(algorithm::eltwise_clip, 0, 1);
        break;
      case Kind::kHardSwish: eltwise(algorithm::eltwise_hardswish); break;
      case Kind::kSwish: eltwise(algorithm::eltwise_swish, 1.0F); break;
      case Kind::kLeakyRelu: eltwise(algorithm::eltwise_relu, op.alpha); break;
      case Kind::kElu: eltwise(algorithm::eltwise_elu, op.alpha); break;
      case Kind::kGeluErf: eltwise(algorithm::eltwise_gelu_erf); break;
      case Kind::kGeluTanh: eltwise(algorithm::eltwise_gelu_tanh); break;
      case Kind::kAdd:
        if (fused.sum_input >= 0) return unsupported("two residual additions in one node");
        fused.ops.append_sum(1.0F);
        fused.sum_input = op.input;
        break;
    }
  }
  return fused;
}

Status append_separately(PrimitiveKernel& kernel, const NodeRequest& request, const Desc& output) {
  for (const graph::PostOp& op : request.node.post_ops) {
    Operand in_place = Operand::output(0);
    if (op.kind == graph::PostOp::Kind::kAdd) {
      auto input = static_cast<size_t>(op.input);
      dnnl::binary::primitive_desc add({algorithm::binary_add, output, output, output}, attributes(), cpu_engine());
      if (type_of(request.inputs[input].dtype) != output.data_type())
        return unsupported("a residual of another type than the result's");
      if (auto layout = layout_of(output); layout && output.dims().size() == 4) kernel.set_input_layout(input, *layout);
      kernel.add(add, dnnl::binary(add),
                 {{DNNL_ARG_SRC_0, in_place, output},
                  {DNNL_ARG_SRC_1, Operand::input(input), output},
                  {DNNL_ARG_DST, in_place, output}});
      continue;
    }
    // An activation alone: as a post-op of the identity, so that every kind goes one way.
    MOTET_ASSIGN(FusedOps fused, fuse(std::span(&op, 1)));
    dnnl::eltwise_forward::primitive_desc identity(
        {dnnl::prop_kind::forward_inference, algorithm::eltwise_linear, output, 1.0F, 0.0F}, attributes(fused.ops),
        cpu_engine());
    kernel.add(identity, dnnl::eltwise_forward(identity),
               {{DNNL_ARG_SRC, in_place, output}, {DNNL_ARG_DST, in_place, output}});
  }
  return {};
}

WeightCache::Packed pack(WeightCache* cache, const Tensor& source, const Desc& from, const Desc& to, float scale) {
  auto fill = [source, from, to, scale](std::byte* memory) {
    dnnl::primitive_attr attr;
    if (scale != 1.0F) attr.set_output_scales(0, {scale});
    Reading reading = source.read();  // oneDNN's copies take any alignment
    dnnl::memory source_memory(from, cpu_engine(), const_cast<std::byte*>(reading.data));
    dnnl::memory packed_memory(to, cpu_engine(), memory);
    device::TeamScope scope(device::Team::serial());
    PartsScope parts(1);
    dnnl::reorder(source_memory, packed_memory, attr).execute(thread_stream(), source_memory, packed_memory);
    graph::FileMap::release({reading.data, source.bytes()});
  };
  if (cache == nullptr) return std::make_shared<const PackedWeights>(to.get_size(), std::move(fill));
  std::string form(reinterpret_cast<const char*>(&to.data), sizeof(to.data));
  form.append(reinterpret_cast<const char*>(&from.data), sizeof(from.data));
  form.append(reinterpret_cast<const char*>(&scale), sizeof(scale));
  return cache->get_or_pack(source, form, to.get_size(), std::move(fill));
}

Result<Window> read_window(const graph::Node& node, const Shape& input, const Shape& output, Dims kernel) {
  size_t rank = input.size() - 2;
  Window w;
  w.kernel = kernel.empty() ? node.ints_or("kernel_shape", {}) : std::move(kernel);
  w.strides = node.ints_or("strides", std::vector<int64_t>(rank, 1));
  w.dilations = node.ints_or("dilations", std::vector<int64_t>(rank, 1));
  std::vector<int64_t> pads = node.ints_or("pads", std::vector<int64_t>(2 * rank, 0));
  std::string auto_pad = node.string_or("auto_pad", "NOTSET");
  if (w.kernel.size() != rank || w.strides.size() != rank || w.dilations.size() != rank || pads.size() != 2 * rank)
    return unsupported("a window of another rank than the input's " + std::to_string(rank) + " spatial dimensions");
  w.pad_begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank));
  w.pad_end.resize(rank);
  for (size_t i = 0; i < rank; ++i) {
    if (w.strides[i] < 1 || w.dilations[i] < 1 || w.kernel[i] < 1 || w.pad_begin[i] < 0)
      return unsupported("a window with stride, dilation, kernel or pad out of range");
    int64_t extent = (w.kernel[i] - 1) * w.dilations[i] + 1;
    int64_t covered = (output[i + 2] - 1) * w.strides[i] + extent;
    int64_t total =
        covered - input[i + 2];  // less than the given pads where the stride leaves a rest, more with ceil_mode
    int64_t end = auto_pad == "NOTSET" ? pads[rank + i] : 0;
    if (auto_pad == "SAME_UPPER") w.pad_begin[i] = std::max<int64_t>(total, 0) / 2;
    if (auto_pad == "SAME_LOWER") w.pad_begin[i] = (std::max<int64_t>(total, 0) + 1) / 2;
    if (auto_pad.starts_with("SAME")) end = std::max<int64_t>(total, 0) - w.pad_begin[i];
    if (auto_pad == "VALID") w.pad_begin[i] = 0;
    // Beyond the given end only where the extents ask for it: ceil_mode, output_padding.
    int64_t rest = w.pad_begin[i] + end - total;
    w.pad_end[i] = rest >= 0 && rest < w.strides[i] ? end : total - w.pad_begin[i];
    if (w.pad_end[i] >= extent || w.pad_begin[i] >= extent) return unsupported("padding as large as the window");
    w.dilations[i] -= 1;
  }
  return w;
}

namespace {

std::optional<Error> refuse_unless(const NodeRequest& request, std::initializer_list<DType> allowed) {
  auto check = [&](const TensorSpec& spec) -> std::optional<Error> {
    if (std::find(allowed.begin(), allowed.end(), spec.dtype) == allowed.end())
      return unsupported("type " + std::string(dtype_kserve_name(spec.dtype)));
    if (elements(spec.shape) == 0) return unsupported("an empty tensor of shape " + shape_to_string(spec.shape));
    if (spec.shape.size() > DNNL_MAX_NDIMS) return unsupported("rank " + std::to_string(spec.shape.size()));
    return std::nullopt;
  };
  for (size_t i = 0; i < request.inputs.size(); ++i)
    if (request.present[i])
      if (auto error = check(request.inputs[i])) return error;
  for (const TensorSpec& output : request.outputs)
    if (auto error = check(output)) return error;
  return std::nullopt;
}

}  // namespace

std::optional<Error> refuse_unless_f32(const NodeRequest& request) { return refuse_unless(request, {DType::kF32}); }

std::optional<Error> refuse_unless_float(const NodeRequest& request) {
  return refuse_unless(request, {DType::kF32, DType::kBF16});
}

std::string isa_name() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx: return "avx512_core_amx";
    case dnnl::cpu_isa::all: return "all";
    default: return "other";
  }
}

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

bool has_bf16() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_bf16:
    case dnnl::cpu_isa::avx512_core_amx:
    case dnnl::cpu_isa::all: return true;
    default: return false;
  }
}

bool has_int8() { return has_bf16() || dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_vnni; }

Layout blocked_layout() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
    case dnnl::cpu_isa::avx:
    case dnnl::cpu_isa::avx2:
    case dnnl::cpu_isa::avx2_vnni: return Layout::kNChw8c;
    default: return Layout::kNChw16c;
  }
}

}  // namespace motet::ops::onednn
