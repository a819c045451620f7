// How far a study is, seen from outside: nothing is locked, changed or waited for.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "study/study_folder.h"

namespace ulmfit::study {

struct Progress {
  struct Running {
    std::string cell;
    std::string holder;  // host and process of its worker
  };
  struct Broken {
    std::string cell;
    std::string message;
  };
  std::string kind;
  std::size_t cells = 0;
  std::size_t done = 0;
  std::vector<Running> running;
  std::vector<Broken> broken;
  std::size_t blocked = 0;  // they need a broken one
  double seconds_left = 0;  // by one worker, estimated when the study was planned; without the blocked ones
};

// Of the study that the folder holds. Throws as StudyFolder::read.
Progress progress_of(const StudyFolder& folder);

}  // namespace ulmfit::study
