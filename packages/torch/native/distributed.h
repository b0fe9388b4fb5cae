// Groups of processes that compute together, and work for them on other threads.
#pragma once

#if __has_include(<torch/headeronly/version.h>) && !defined(BANTAM_WITHOUT_C10D)
#include <torch/headeronly/version.h>
#if __has_include(<torch/csrc/distributed/c10d/ProcessGroup.hpp>) && !defined(_WIN32) && \
    TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 13
#define BANTAM_HAS_C10D
#endif
#endif

#ifdef BANTAM_HAS_C10D

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "arguments.h"

namespace bantam::distributed {

using Milliseconds = std::chrono::milliseconds;

/// Signs of life of a group's processes, which a thread of each writes into the store every two seconds: a process
/// that computes for long still has them, one that hangs has not.
class Pulse {
 public:
  Pulse(c10::intrusive_ptr<c10d::Store> store, std::string prefix, int rank, int size, Milliseconds patience);
  ~Pulse();

  /// Why nobody may wait any longer; empty while all live.
  std::string lost() const;
  /// The processes that have shown some sign of life, and then none for so long.
  std::vector<int> silent(Milliseconds patience) const;
  /// True if the store itself has not answered for too long.
  bool is_cut_off() const;
  /// Ends the thread. Without `wait` it may still be in the store, which does not answer if its process hangs.
  void stop(bool wait);

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
};

struct Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;  // after joining
  std::shared_ptr<Pulse> pulse;               // from the count of those who come on
};

/// The group of that name.
Group group_of(const std::string& name);
/// Adds a group, which has a store alone. An older one of that name must have been taken away.
void add_group(const std::string& name, c10::intrusive_ptr<c10d::Store> store);
/// Lets a group show and watch signs of life.
void watch_group(const std::string& name, std::shared_ptr<Pulse> pulse);
/// Gives a group its connections; false if it was taken away meanwhile.
bool connect_group(const std::string& name, c10::intrusive_ptr<c10d::Backend> backend);
/// Takes a group's connections out, or the whole group; empty where there are none.
Group take_group(const std::string& name, bool with_store);

/// A promise for `work` on another thread; `result` makes its value on this one, undefined without it.
napi_value elsewhere(napi_env env, std::function<void()> work, std::function<napi_value(napi_env)> result = nullptr);

Milliseconds timeout_at(const Call& call, size_t at);

void init_stores(napi_env env, napi_value exports);
void init_connections(napi_env env, napi_value exports);

}  // namespace bantam::distributed

#endif
