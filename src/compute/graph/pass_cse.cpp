// Equal nodes on equal inputs are computed once; a Concat that begins like an earlier one begins with its result, since
// networks that join everything so far to every layer (Huang et al., 2017) would copy it piece by piece each time.
#include <algorithm>
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
      if (take_joined(i)) ++rewrites;
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

  // Puts the longest earlier Concat of the first inputs in their place.
  bool take_joined(int index) {
    Node node = rewriter_.node(index);
    if (node.op != "Concat" || !node.domain.empty()) return false;
    const int64_t axis = node.int_or("axis", 1);
    const Joined* best = nullptr;
    for (const Joined& earlier : joined_) {
      const size_t count = earlier.inputs.size();
      bool begins =
          earlier.axis == axis && count < node.inputs.size() && (best == nullptr || count > best->inputs.size());
      if (begins && std::equal(earlier.inputs.begin(), earlier.inputs.end(), node.inputs.begin())) best = &earlier;
    }
    const std::vector<ValueId> all = node.inputs;
    if (best != nullptr) {
      node.inputs.erase(node.inputs.begin(), node.inputs.begin() + static_cast<std::ptrdiff_t>(best->inputs.size()));
      node.inputs.insert(node.inputs.begin(), best->result);
    }
    const ValueId result = node.outputs[0];
    const bool found = best != nullptr;
    if (found) rewriter_.put(index, std::move(node));
    if (all.size() > 1) joined_.push_back({axis, all, result});
    return found;
  }

  struct Joined {
    int64_t axis = 0;
    std::vector<ValueId> inputs;  // as they were
    ValueId result = kNoValue;
  };

  Rewriter rewriter_;
  std::vector<Joined> joined_;
  std::vector<ValueId> alias_;
  std::map<std::string, int> seen_;
};

}  // namespace

Result<int> eliminate_common_subexpressions(Graph& graph, const PassContext& context) {
  (void)context;
  return Matcher(graph).run();
}

}  // namespace motet::graph
