#include <gtest/gtest.h>

#include "apps/term/table.h"

namespace motet::term {
namespace {

TEST(Table, AlignsNumbersToTheRight) {
  Table table({"model", "rate"});
  table.row({"mnist", "5.0"});
  table.row({"mobilenet", "120.5"});
  EXPECT_EQ(table.to_string(),
            "model       rate\n"
            "----------------\n"
            "mnist        5.0\n"
            "mobilenet  120.5\n");
}

}  // namespace
}  // namespace motet::term
