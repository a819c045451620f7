// Do all ranks run the same thing, and do they still hold the same state? All are collective and throw the same error on
// every rank, which names the odd ranks by majority, with their hosts: CommError where nothing else is said.
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

// Every rank must compute on the same kind of device: one that sees no GPU, say, would compute on its CPU beside the
// others. ConfigError, the same on every rank, with the ranks of either kind.
void require_same_device(Communicator& comm, at::DeviceType mine);

// (name, hash) of each parameter, moment and learning rate: the same names in the same order on every rank.
using StateHashes = std::vector<std::pair<std::string, std::uint64_t>>;

// Every rank must bring the same hashes after the same step. Sixteen bytes a rank travel while all agree; the error names
// the tensors that differ too.
void state_agreement(Communicator& comm, const StateHashes& state, std::int64_t step);

}  // namespace ulmfit::comm
