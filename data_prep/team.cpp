#include "data_prep/team.h"

#include <utility>

namespace ulmfit::data_prep {

std::vector<std::string> Team::gather(const std::string& mine) {
  std::vector<std::string> all;
  for (int root = 0; root < size(); ++root) {
    std::string bytes = root == rank() ? mine : std::string();
    broadcast(bytes, root);
    all.push_back(std::move(bytes));
  }
  return all;
}

}  // namespace ulmfit::data_prep
