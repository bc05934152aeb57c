// Every implementation of every op against the same op written down in double precision: random extents, every layout,
// broadcast and window form, edge cases, several numbers of parts, and in slices. The cases are in testing/.
#include <gtest/gtest.h>

#include "compute/ops/onednn/onednn.h"
#include "compute/ops/table.h"
#include "compute/ops/testing/cases.h"

namespace motet::ops::testing {
namespace {

class Conformance : public ::testing::TestWithParam<Family> {};

TEST_P(Conformance, EveryImplementationAgreesWithDoublePrecision) {
  Cases cases(GetParam().name);
  GetParam().add(cases);
  int wrong = 0;
  for (const Case& c : cases.list()) {
    const Outcome outcome = check(c, implementations(c.domain, c.op));
    for (size_t i = 0; i < outcome.faults.size() && wrong < 40; ++i, ++wrong) ADD_FAILURE() << outcome.faults[i];
    EXPECT_TRUE(outcome.runs > 0 || c.refused) << c.op << " ran nowhere";
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Conformance, ::testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param.name); });

std::string name_of(std::string_view domain, std::string_view op) {
  return domain.empty() ? std::string(op) : std::string(domain) + ":" + std::string(op);
}

// A row without cases, or with an implementation that no case reaches, is not covered.
TEST(Coverage, EveryRowOfTheTableHasCasesThatEachOfItsImplementationsTakes) {
  std::map<std::string, std::vector<bool>> reached;
  for (const Family& family : kFamilies) {
    Cases cases(family.name);
    family.add(cases);
    for (const Case& c : cases.list()) {
      const auto list = implementations(c.domain, c.op);
      std::vector<bool>& seen = reached[name_of(c.domain, c.op)];
      seen.resize(list.size());
      if (c.refused) {
        seen.assign(list.size(), true);
      } else if (std::find(seen.begin(), seen.end(), false) != seen.end()) {
        const std::vector<bool> takes = accepted(c, list);
        for (size_t k = 0; k < list.size(); ++k) seen[k] = seen[k] || takes[k];
      }
    }
  }
  // Some kernels exist for AVX-512 only.
  const bool all_kernels = onednn::blocked_layout() == Layout::kNChw16c && onednn::has_int8();
  for (std::span<const Row> rows : all_rows()) {
    for (const Row& row : rows) {
      const auto found = reached.find(name_of(row.domain, row.op));
      ASSERT_NE(found, reached.end()) << name_of(row.domain, row.op)
                                      << " has no cases: add some to its family in compute/ops/testing";
      for (size_t k = 0; k < row.count; ++k) {
        const std::string_view name = row.list[k].name;
        if (!all_kernels && (name == "onednn" || name == "tiles" || name == "winograd" || name == "dynamic")) continue;
        EXPECT_TRUE(found->second[k]) << "no case of " << row.op << " is taken by " << name;
      }
    }
  }
}

}  // namespace
}  // namespace motet::ops::testing
