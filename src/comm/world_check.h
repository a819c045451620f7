// Do all ranks run the same thing, and do they still hold the same state? Both are collective and throw the same CommError
// on every rank, which names the odd ranks by majority, with their hosts.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace ulmfit::comm {

// (name, value): "binary version", "config", "vocabulary", "parameter shapes", "threads", ... Long values are cut in
// messages around the place where they differ.
using Facts = std::vector<std::pair<std::string, std::string>>;

// Every rank must bring the same facts.
void world_check(Communicator& comm, const Facts& facts);

// Every rank must bring the same hash of its parameters, moments and learning rate after the same step.
void state_agreement(Communicator& comm, std::uint64_t hash, std::int64_t step);

}  // namespace ulmfit::comm
