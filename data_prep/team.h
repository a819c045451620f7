// The ranks that prepare a corpus together, as far as this library needs to know them.
#pragma once

#include <string>
#include <vector>

#include "data/share.h"

namespace ulmfit::data_prep {

// As it stands here: one process alone. All ranks make the same calls in the same order.
class Team {
 public:
  virtual ~Team() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  // The root's bytes to all ranks.
  virtual void broadcast(std::string& /*bytes*/, int /*root*/) {}

  data::Share share() const { return {rank(), size()}; }
  // Every rank's bytes, in rank order; returns when all have called it.
  std::vector<std::string> gather(const std::string& mine);
  void barrier() { gather(""); }
};

}  // namespace ulmfit::data_prep
