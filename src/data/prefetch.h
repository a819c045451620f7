// Makes items ahead on one thread. The producer runs on that thread only; it must not call MPI, nor tensor operators but
// for memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/stopwatch.h"

namespace ulmfit::data {

template <class Item>
class Prefetch {
 public:
  // `produce` returns the next item, or nothing at the end. At most `depth` items wait (ConfigError for 0).
  Prefetch(std::function<std::optional<Item>()> produce, std::size_t depth);
  ~Prefetch();  // stops the thread after the item it is making; waiting items are dropped
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  // The next item in order, nothing after the last (as often as asked); rethrows what the producer threw, at its place in
  // the order and from then on. One consumer.
  std::optional<Item> next();
  double waited_seconds() const { return waited_; }  // time next() has spent waiting, in all

 private:
  void run();
  std::optional<Item> make(std::exception_ptr& failure);

  std::function<std::optional<Item>()> produce_;
  const std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> ready_;
  bool ended_ = false;          // the producer has returned nothing or thrown
  std::exception_ptr failure_;  // what it has thrown
  bool stop_ = false;
  double waited_ = 0;
  std::thread thread_;
};

template <class Item>
Prefetch<Item>::Prefetch(std::function<std::optional<Item>()> produce, std::size_t depth)
    : produce_(std::move(produce)), depth_(depth) {
  if (depth == 0) throw ConfigError("cannot prefetch 0 items ahead: give 1 or more");
  thread_ = std::thread([this] { run(); });
}

template <class Item>
Prefetch<Item>::~Prefetch() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

template <class Item>
std::optional<Item> Prefetch<Item>::next() {
  std::unique_lock lock(mutex_);
  if (ready_.empty() && !ended_) {
    const ScopedTimer timer(waited_);
    changed_.wait(lock, [this] { return !ready_.empty() || ended_; });
  }
  if (ready_.empty()) {
    if (failure_) std::rethrow_exception(failure_);
    return std::nullopt;
  }
  std::optional<Item> item(std::move(ready_.front()));
  ready_.pop_front();
  changed_.notify_all();
  return item;
}

// The next item, or nothing and the producer's exception. It returns from both paths: with g++ 12 -O2, an optional declared
// before the try block and assigned in it can hold an earlier item after a throw.
template <class Item>
std::optional<Item> Prefetch<Item>::make(std::exception_ptr& failure) {
  try {
    return produce_();
  } catch (...) {
    failure = std::current_exception();
    return std::nullopt;
  }
}

template <class Item>
void Prefetch<Item>::run() {
  for (bool more = true; more;) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || ready_.size() < depth_; });
      if (stop_) return;
    }
    std::exception_ptr failure;
    std::optional<Item> item = make(failure);
    more = item.has_value();
    const std::lock_guard lock(mutex_);
    if (more) {
      ready_.push_back(std::move(*item));
    } else {
      ended_ = true;
      failure_ = failure;
    }
    changed_.notify_all();
  }
}

}  // namespace ulmfit::data
