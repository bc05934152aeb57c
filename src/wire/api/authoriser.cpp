#include "wire/api/authoriser.h"

#include "base/check.h"

namespace motet::api {
namespace {

class AllowAll final : public Authoriser {
 public:
  Status authorise(const Principal&, Verb, std::string_view) const override { return {}; }
};

}  // namespace

std::string_view verb_name(Verb verb) {
  switch (verb) {
    case Verb::kHealth: return "health";
    case Verb::kDescribe: return "describe";
    case Verb::kStatistics: return "statistics";
    case Verb::kIndex: return "index";
    case Verb::kInfer: return "infer";
    case Verb::kLoad: return "load";
    case Verb::kUnload: return "unload";
  }
  MOTET_CHECK(false, "a Verb outside its enumeration");
}

std::unique_ptr<const Authoriser> allow_all() { return std::make_unique<AllowAll>(); }

}  // namespace motet::api
