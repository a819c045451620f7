// The communicator of the running test program, for tests that every rank runs alike.
#pragma once

#include "comm/communicator.h"

namespace ulmfit::test {

comm::Communicator& ranks();

}  // namespace ulmfit::test
