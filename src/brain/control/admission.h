// Admission: whether a query is taken in, and what becomes of one whose client goes away. Internal to control/.
#pragma once

#include "brain/control/domain.h"

namespace motet::brain {

void on_arrived(Domain& d, const Arrived& event);
void on_cancelled(Domain& d, const Cancelled& event);

}  // namespace motet::brain
