// What a run is trained on and with, by content: OUT/run.json. A folder that moved is the same input, another text or
// another parent at the same path is not.
//
//   {"format": "ulmfit-run", "version": 1,
//    "inputs": {"training text": "3fa1..., 51234 tokens, 800 documents", "parent's weights": "none", ...},
//    "machine": {"program": "0.2.0, libtorch 2.11.0", "threads": "2", ...}}
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"
#include "comm/communicator.h"
#include "comm/world_check.h"
#include "stages/compute.h"

namespace ulmfit::stages {

// What decides the result besides the settings: training and validation text, vocabulary, text rules and tokenizer, and
// labels of the prepared folder `corpus`; weights, vocabulary and text rules of the stage `from` ("none": there is none).
// Throws as data::open_corpus does, and CheckpointError if there is no stage in `from`.
comm::Facts run_inputs(const std::filesystem::path& corpus, const std::string& from);
// The same of those that are still there, for those of a finished run may be gone; which are is said.
comm::Facts known_run_inputs(const std::filesystem::path& corpus, const std::string& from);

// What may move the last bits of the result: program, device, precision as it is there (`asked` may be auto), threads,
// processor.
comm::Facts run_machine(const comm::Communicator& comm, Arithmetic asked);

// The run has other settings or inputs than its folder. `advice`, the message's last line, is for who called the stage by
// itself; in a pipeline it is another one.
class RunChanged : public ConfigError {
 public:
  RunChanged(const std::string& found, const std::string& advice) : ConfigError(found + "\n" + advice), found_(found) {}
  const std::string& found() const { return found_; }

 private:
  std::string found_;
};

// OUT/run.json. Only rank 0 has one.
class RunIdentity {
 public:
  // Reads the file if it is there. Throws CheckpointError for a damaged one and for one of a newer program.
  explicit RunIdentity(const std::filesystem::path& run_folder);

  // Throws RunChanged, naming each input that is not as recorded, or as the finished stage of the folder tells. Those
  // that are not recorded yet are from now on, with a warning if `trained`: the folder holds a checkpoint or a stage, whose
  // real inputs nobody knows. A folder in which nothing is trained takes what is given now.
  void check_inputs(const comm::Facts& now, bool trained);

  // A difference to where a `trained` folder was begun is a warning, once; with `reproducible`, which promises bits,
  // ConfigError unless it is a build of the same version.
  void check_machine(const comm::Facts& now, bool trained, bool reproducible);

 private:
  void write() const;

  std::filesystem::path folder_;
  comm::Facts inputs_;
  comm::Facts machine_;
};

}  // namespace ulmfit::stages
