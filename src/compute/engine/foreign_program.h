// Programs and models made of ForeignSteps: what Model::load returns for what the native engine cannot run. Private to
// compute/engine. Any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "compute/engine/foreign_step.h"
#include "compute/engine/runnable.h"

namespace motet::engine {

// The executor of that name, or for "auto" the first that reads `path`, opened. An Error says what is installed and why
// it cannot be used.
Result<std::shared_ptr<ForeignExecutor>> find_foreign(const std::string& name, const std::filesystem::path& path);

// Programs of one foreign model per input shapes, compiled on demand and kept.
class ForeignPrograms {
 public:
  ForeignPrograms(std::shared_ptr<ForeignExecutor> executor, std::shared_ptr<ForeignModel> model);
  ~ForeignPrograms();

  const ForeignModel& model() const { return *model_; }
  Result<ProgramPtr> compile(const std::vector<Shape>& shapes, const CompileOptions& options);
  void drop(const std::vector<Shape>& shapes);

 private:
  struct Table;

  const std::shared_ptr<ForeignExecutor> executor_;
  const std::shared_ptr<ForeignModel> model_;
  const std::unique_ptr<Table> table_;  // synchronises itself
};

// A Model that only a foreign executor reads: another format than ONNX, or the config's wish.
std::shared_ptr<Model> make_foreign_model(std::unique_ptr<ForeignPrograms> programs, size_t file_bytes);

}  // namespace motet::engine
