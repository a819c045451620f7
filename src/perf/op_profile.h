// Where the time of a step goes, told by the operators that torch reports and the activities (base/activity.h) that begin
// and end while a profile is alive.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ulmfit::perf {

struct ProfileResult {
  double seconds = 0;                         // from the constructor to stop()
  std::map<std::string, double> by_activity;  // seconds; what no operator or activity covers is "other"
  std::map<std::string, double> by_operator;  // seconds of the operator itself, without those that it calls
  // Share of the time outside matrix products, LSTM kernels and the softmax.
  double outside_kernels = 0;
};

// Listens on the thread that made it, and on those that compute gradients meanwhile (a GPU has one of its own). On a GPU
// the times are the device's, between events on its stream, and nothing waits: a GPU that waits for the host, which the
// profile slows, does so within the operator that is late, or between operators, in the activity around them.
class OpProfile {
 public:
  explicit OpProfile(at::Device device);
  ~OpProfile();
  OpProfile(const OpProfile&) = delete;
  OpProfile& operator=(const OpProfile&) = delete;
  ProfileResult stop();

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

// The activity that an operator or autograd node belongs to by its name; empty: that of the operator which called it.
std::string activity_of_operator(const std::string& name, bool backward);
// A product, an LSTM kernel or the softmax head.
bool is_kernel(const std::string& name);

// The `count` largest, in decreasing order.
std::vector<std::pair<std::string, double>> largest(const std::map<std::string, double>& seconds, std::size_t count);

}  // namespace ulmfit::perf
