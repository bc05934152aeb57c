// Which executor a model gets: native, a foreign one, or native with a foreign one for what it refuses. Private to
// compute/engine. Any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "compute/engine/program.h"

namespace motet::engine {

// `read` reads the file natively. What comes of it and of `options` is described at Model::load.
Result<std::shared_ptr<Model>> load_with_fallback(
    const std::filesystem::path& path, const LoadOptions& options,
    const std::function<Result<std::shared_ptr<Model>>(const std::filesystem::path&)>& read);

}  // namespace motet::engine
