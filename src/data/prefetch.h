// Makes items ahead on one thread. The producer runs on that thread only; it must not call MPI or tensor operators.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace ulmfit::data {

template <class Item>
class Prefetch {
 public:
  // `produce` returns the next item, or nothing at the end. At most `depth` items wait.
  Prefetch(std::function<std::optional<Item>()> produce, std::size_t depth);
  ~Prefetch();  // stops the thread; waiting items are dropped
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // The next item in order, nothing after the last; rethrows what the producer threw, at its place in the order.
  std::optional<Item> next();
  double waited_seconds() const { return waited_; }  // time next() has spent waiting, in all

 private:
  void run();

  std::function<std::optional<Item>()> produce_;
  const std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::optional<Item>> ready_;
  std::exception_ptr failure_;
  bool stop_ = false;
  double waited_ = 0;
  std::thread thread_;  // last: starts when everything else is ready
};

}  // namespace ulmfit::data
