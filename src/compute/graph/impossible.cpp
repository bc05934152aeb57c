#include "compute/graph/impossible.h"

#include "compute/graph/infer.h"

namespace motet::graph {
namespace {

constexpr int kOpset = 13;

class BodyMaker {
 public:
  explicit BodyMaker(const std::string& name) : body_(std::make_shared<Graph>()) { body_->name = name; }

  ValueId value(const std::string& name, DType dtype, SymShape shape) {
    Value v;
    v.name = name;
    v.dtype = dtype;
    v.shape = std::move(shape);
    return body_->add_value(std::move(v));
  }
  ValueId constant(const std::string& name, Tensor tensor) {
    ValueId id = value(name, tensor.dtype(), shape_of(tensor.shape()));
    body_->value(id).constant = std::move(tensor);
    return id;
  }
  void node(std::string op, std::vector<ValueId> inputs, ValueId output,
            std::map<std::string, Attribute, std::less<>> attributes = {}) {
    Node n;
    n.op = std::move(op);
    n.opset = kOpset;
    n.inputs = std::move(inputs);
    n.outputs = {output};
    n.attributes = std::move(attributes);
    body_->nodes.push_back(std::move(n));
  }
  Graph& graph() { return *body_; }
  std::shared_ptr<const Graph> take() { return std::move(body_); }

 private:
  std::shared_ptr<Graph> body_;
};

}  // namespace

std::shared_ptr<const Graph> impossible_body(const Value& condition, bool taken, const std::vector<Value>& like,
                                             const std::string& reason) {
  for (const Value& v : like)
    if (!v.dtype || !v.static_shape()) return nullptr;
  if (!condition.shape) return nullptr;
  BodyMaker make("impossible: " + reason);
  ValueId flag = make.value(condition.name, DType::kBool, *condition.shape);
  make.graph().captures.emplace_back(condition.name, flag);
  if (!taken) {
    ValueId inverse = make.value(condition.name + "/not", DType::kBool, *condition.shape);
    make.node("Not", {flag}, inverse);
    flag = inverse;
  }
  // The flag is true here, so the index is 1, in a list of one.
  ValueId number = make.value(condition.name + "/number", DType::kI64, *condition.shape);
  make.node("Cast", {flag}, number, {{"to", int64_t{dtype_to_onnx(DType::kI64)}}});
  ValueId index = make.value(condition.name + "/index", DType::kI64, {});
  make.node("Reshape", {number, make.constant(condition.name + "/scalar", Tensor::zeros(DType::kI64, {0}))}, index);
  for (size_t o = 0; o < like.size(); ++o) {
    std::string suffix = std::to_string(o);
    Shape extents = *like[o].static_shape();
    ValueId list = make.constant(condition.name + "/list" + suffix, Tensor::zeros(*like[o].dtype, {1}));
    ValueId element = make.value(condition.name + "/element" + suffix, *like[o].dtype, {});
    make.node("Gather", {list, index}, element, {{"axis", int64_t{0}}});
    ValueId shape = make.constant(condition.name + "/shape" + suffix,
                                  Tensor::of<int64_t>({static_cast<int64_t>(extents.size())}, extents));
    ValueId result = make.value(condition.name + "/result" + suffix, *like[o].dtype, shape_of(extents));
    make.node("Expand", {element, shape}, result);
    make.graph().outputs.push_back(result);
  }
  return make.take();
}

}  // namespace motet::graph
