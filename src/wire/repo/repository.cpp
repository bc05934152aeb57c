#include "wire/repo/repository.h"

#include <algorithm>

#include "wire/repo/files.h"

namespace motet::repo {
namespace fs = std::filesystem;

Result<Repository> Repository::open(const std::vector<std::string>& roots) {
  Repository repository;
  if (roots.empty()) return invalid_argument("no model repository is given; give at least one directory");
  for (const std::string& root : roots) {
    std::error_code error;
    fs::path path = fs::canonical(root, error);
    if (error || !fs::is_directory(path, error))
      return not_found("model repository '" + root + "' is not a directory that can be read");
    MOTET_ASSIGN(auto names, directory_names(path));
    (void)names;
    if (std::find(repository.roots_.begin(), repository.roots_.end(), path) != repository.roots_.end())
      return Error{Code::kAlreadyExists, "model repository '" + root + "' is given twice; give it once"};
    repository.roots_.push_back(std::move(path));
  }
  return repository;
}

Result<Listing> Repository::list() const {
  std::map<std::string, std::vector<fs::path>> found;
  for (const fs::path& root : roots_) {
    MOTET_ASSIGN(auto names, directory_names(root));
    for (const std::string& name : names)
      if (name.front() != '.') found[name].push_back(root);
  }
  Listing listing;
  for (const auto& [name, roots] : found) {
    auto directory = find(name);
    if (directory.ok()) {
      listing.models.push_back(std::move(directory).value());
    } else {
      listing.refused.push_back({name, std::move(directory).error()});
    }
  }
  return listing;
}

Result<ModelDirectory> Repository::find(std::string_view name) const {
  const Error unknown = not_found("model '" + std::string(name) + "' is not in the model repository");
  if (name.empty() || name.front() == '.' || name.find('/') != name.npos || name.find('\0') != name.npos)
    return unknown;
  const fs::path* where = nullptr;
  for (const fs::path& root : roots_) {
    std::error_code error;
    if (!fs::is_directory(root / name, error)) continue;
    if (where != nullptr) {
      return Error{Code::kAlreadyExists, "model '" + std::string(name) + "' is in two repositories, " +
                                             where->string() + " and " + root.string() + "; remove or rename one"};
    }
    where = &root;
  }
  if (where == nullptr) return unknown;
  return ModelDirectory{std::string(name), *where / name};
}

}  // namespace motet::repo
