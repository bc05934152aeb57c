// Equal nodes on equal inputs are computed once.
#include <map>

#include "compute/graph/passes.h"
#include "compute/graph/rewrite.h"

namespace motet::graph {
namespace {

// Constants up to this size are compared by content.
constexpr size_t kComparedBytes = 256;

void add_bytes(std::string& key, const void* bytes, size_t size) {
  key.append(reinterpret_cast<const char*>(&size), sizeof(size));
  if (size > 0) key.append(static_cast<const char*>(bytes), size);
}

void add_text(std::string& key, std::string_view text) { add_bytes(key, text.data(), text.size()); }

template <class T>
void add_number(std::string& key, T number) {
  key.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

template <class T>
void add_list(std::string& key, const std::vector<T>& list) {
  add_bytes(key, list.data(), list.size() * sizeof(T));
}

// False if the tensor is too large, or holds strings.
bool add_tensor(std::string& key, const Tensor& tensor) {
  if (tensor.dtype() == DType::kString || tensor.bytes() > kComparedBytes) return false;
  key += static_cast<char>(tensor.dtype());
  add_list(key, tensor.shape());
  add_bytes(key, tensor.view().data, tensor.view().bytes());
  return true;
}

// Appends one attribute value; false if it cannot be compared.
struct AttributeKey {
  std::string& key;

  bool operator()(int64_t v) const { return add_number(key, v), true; }
  bool operator()(float v) const { return add_number(key, v), true; }
  bool operator()(const std::string& v) const { return add_text(key, v), true; }
  bool operator()(const Tensor& v) const { return add_tensor(key, v); }
  bool operator()(const std::shared_ptr<const Graph>&) const { return false; }
  bool operator()(const std::vector<int64_t>& v) const { return add_list(key, v), true; }
  bool operator()(const std::vector<float>& v) const { return add_list(key, v), true; }
  bool operator()(const std::vector<std::string>& v) const {
    add_number(key, v.size());
    for (const std::string& s : v) add_text(key, s);
    return true;
  }
};

bool repeatable(const Node& node) {
  return node.post_ops.empty() && !node.op.starts_with("Random") && node.op != "Bernoulli" && node.op != "Multinomial";
}

class Matcher {
 public:
  explicit Matcher(Graph& graph) : rewriter_(graph) {
    std::map<std::string, ValueId> constants;
    for (size_t i = 0; i < graph.values.size(); ++i) {
      auto id = static_cast<ValueId>(i);
      alias_.push_back(id);
      std::string key;
      if (graph.values[i].constant && add_tensor(key, *graph.values[i].constant))
        alias_.back() = constants.emplace(key, id).first->second;
    }
  }

  int run() {
    int rewrites = 0;
    for (int i = 0; i < rewriter_.node_count(); ++i) {
      auto key = key_of(rewriter_.node(i));
      if (!key) continue;
      auto [at, fresh] = seen_.emplace(std::move(*key), i);
      if (!fresh && replace(i, at->second)) ++rewrites;
    }
    rewriter_.finish();
    return rewrites;
  }

 private:
  std::optional<std::string> key_of(const Node& node) const {
    if (!repeatable(node)) return std::nullopt;
    std::string key;
    add_text(key, node.op);
    add_text(key, node.domain);
    add_number(key, node.opset);
    add_number(key, node.outputs.size());
    add_number(key, node.inputs.size());
    for (ValueId id : node.inputs) add_number(key, id == kNoValue ? id : alias_[static_cast<size_t>(id)]);
    for (const auto& [name, attribute] : node.attributes) {
      add_text(key, name);
      add_number(key, attribute.index());
      if (!std::visit(AttributeKey{key}, attribute)) return std::nullopt;
    }
    return key;
  }

  // Lets the readers of `copy` read the results of `original`, if nothing needs the copy's own values.
  bool replace(int copy, int original) {
    const std::vector<ValueId> to = rewriter_.node(original).outputs, from = rewriter_.node(copy).outputs;
    for (size_t o = 0; o < from.size(); ++o) {
      if (from[o] == kNoValue) continue;
      if (to[o] == kNoValue || rewriter_.is_output(from[o])) return false;
    }
    for (size_t o = 0; o < from.size(); ++o)
      if (from[o] != kNoValue) rewriter_.redirect(from[o], to[o]);
    rewriter_.remove(copy);
    return true;
  }

  Rewriter rewriter_;
  std::vector<ValueId> alias_;
  std::map<std::string, int> seen_;
};

}  // namespace

Result<int> eliminate_common_subexpressions(Graph& graph, const PassContext& context) {
  (void)context;
  return Matcher(graph).run();
}

}  // namespace motet::graph
