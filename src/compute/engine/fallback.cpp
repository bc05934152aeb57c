#include "compute/engine/fallback.h"

#include <mutex>
#include <system_error>

#include "compute/engine/compile/compile.h"
#include "compute/engine/foreign_program.h"

namespace motet::engine {
namespace {

namespace fs = std::filesystem;

size_t bytes_of(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    auto bytes = fs::file_size(path, error);
    return error ? 0 : bytes;
  }
  size_t sum = 0;
  for (auto it = fs::recursive_directory_iterator(path, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored)) sum += it->file_size(ignored);
  }
  return sum;
}

Result<std::unique_ptr<ForeignPrograms>> open_foreign(const std::string& name, const fs::path& path,
                                                      const KnownModel* known) {
  MOTET_ASSIGN(auto executor, find_foreign(name, path));
  MOTET_ASSIGN(auto model, executor->load(path, known));
  return std::make_unique<ForeignPrograms>(std::move(executor), std::move(model));
}

Result<std::shared_ptr<Model>> load_foreign(const std::string& name, const fs::path& path) {
  MOTET_ASSIGN(auto programs, open_foreign(name, path, nullptr));
  return make_foreign_model(std::move(programs), bytes_of(path));
}

void add_ops(const graph::Graph& graph, std::set<std::string>& ops) {
  for (const graph::Node& node : graph.nodes) {
    ops.insert(node.op);
    for (const auto& [key, attribute] : node.attributes)
      if (const auto* body = std::get_if<std::shared_ptr<const graph::Graph>>(&attribute);
          body != nullptr && *body != nullptr)
        add_ops(**body, ops);
  }
}

Error both(const Error& native, const Error& foreign) {
  return unsupported("native: " + native.message + "; foreign: " + foreign.message);
}

// What the caller has wrong, no executor makes right: a pass that does not exist, too little memory. A graph that we
// take to be wrong may be right.
bool may_run_elsewhere(const Error& error, const CompileOptions& options) {
  if (error.code == Code::kInvalidArgument) return options.disabled_passes.empty();
  return error.code == Code::kUnsupported || error.code == Code::kInternal;
}

// A model that the native engine has read. A foreign executor reads it too, once a shape is refused.
class FallbackModel final : public Model {
 public:
  FallbackModel(std::shared_ptr<Model> native, fs::path path) : native_(std::move(native)), path_(std::move(path)) {}

  const std::vector<Port>& inputs() const override { return native_->inputs(); }
  const std::vector<Port>& outputs() const override { return native_->outputs(); }
  bool batchable() const override { return native_->batchable(); }
  Bytes weight_bytes() const override {
    std::lock_guard lock(mutex_);
    return native_->weight_bytes() + (foreign_ ? foreign_->model().bytes() : Bytes(0));
  }
  Result<ProgramPtr> compile(const std::vector<Shape>& shapes, const CompileOptions& options) override {
    auto program = native_->compile(shapes, options);
    if (program.ok() || !may_run_elsewhere(program.error(), options)) return program;
    if (!with_shapes(*native_->source().graph, shapes).ok()) return program;  // the shapes are not the model's
    ForeignPrograms* foreign = nullptr;
    if (Status opened = open(foreign); !opened.ok()) return both(program.error(), opened.error());
    auto second = foreign->compile(shapes, options);
    if (!second.ok()) return both(program.error(), second.error());
    return second;
  }
  void drop(const std::vector<Shape>& shapes) override {
    native_->drop(shapes);
    std::lock_guard lock(mutex_);
    if (foreign_) foreign_->drop(shapes);
  }
  const graph::Model& source() const override { return native_->source(); }
  bool persist() override { return native_->persist(); }

 private:
  Status open(ForeignPrograms*& foreign) {
    std::lock_guard lock(mutex_);
    if (!foreign_) {
      KnownModel known{inputs(), outputs(), {}};
      add_ops(*source().graph, known.ops);
      MOTET_ASSIGN(foreign_, open_foreign("auto", path_, &known));
    }
    foreign = foreign_.get();
    return {};
  }

  const std::shared_ptr<Model> native_;
  const fs::path path_;
  mutable std::mutex mutex_;
  std::unique_ptr<ForeignPrograms> foreign_;  // made once; guarded by mutex_, its functions by themselves
};

}  // namespace

Result<std::shared_ptr<Model>> load_with_fallback(
    const fs::path& path, const LoadOptions& options,
    const std::function<Result<std::shared_ptr<Model>>(const fs::path&)>& read) {
  const bool automatic = options.executor == "auto";
  if (!automatic && options.executor != "native") return load_foreign(options.executor, path);
  bool foreign_reads = false;
  for (const auto& executor : foreign_executors()) foreign_reads = foreign_reads || executor->reads(path);
  if (foreign_reads && path.extension() != ".onnx") {
    if (automatic) return load_foreign("auto", path);
    return unsupported("'" + path.string() +
                       "' is not an ONNX file, and the executor is to be native; auto is accepted");
  }
  auto native = read(path);
  if (!automatic || !foreign_reads) return native;
  if (native.ok()) return std::shared_ptr<Model>(std::make_shared<FallbackModel>(std::move(native).value(), path));
  // A file that is malformed is no better in other hands.
  if (native.error().code != Code::kUnsupported) return native;
  auto foreign = load_foreign("auto", path);
  if (!foreign.ok()) return both(native.error(), foreign.error());
  return foreign;
}

}  // namespace motet::engine
