// Warnings of libtorch, which would fill the screen: some come with each call of an operator (of cuDNN's LSTM: some
// thousand a step).
#pragma once

#include <c10/util/Exception.h>

#include <mutex>
#include <string>
#include <unordered_set>

namespace ulmfit::stages {

// Logs each warning once, the first 20 that differ; or none, on ranks that would only repeat it.
class WarnOnce : public c10::WarningHandler {
 public:
  explicit WarnOnce(bool tells) : tells_(tells) {}
  void process(const c10::Warning& warning) override;

 private:
  const bool tells_;
  std::mutex mutex_;
  std::unordered_set<std::string> told_;
};

}  // namespace ulmfit::stages
