// The ranks of a communicator as the team of data_prep.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "data_prep/team.h"

namespace ulmfit::commands {

class RankTeam : public data_prep::Team {
 public:
  explicit RankTeam(comm::Communicator& comm) : comm_(comm) {}  // which must outlive this
  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  void broadcast(std::string& bytes, int root) override { comm_.broadcast_bytes(bytes, root); }

 private:
  comm::Communicator& comm_;
};

}  // namespace ulmfit::commands
