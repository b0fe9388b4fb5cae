// Groups by name, and their stores: what the processes tell each other while they come together.
#include "distributed.h"

#ifdef BANTAM_HAS_C10D

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace bantam::distributed {
namespace {

constexpr int64_t kLongest = 24LL * 3600 * 1000;

std::mutex groups_mutex;

/// Never destroyed: at the end of the process Gloo's threads may still wait for a process that hangs.
std::map<std::string, Group>& groups() {
  static auto* all = new std::map<std::string, Group>();
  return *all;
}

struct Task {
  napi_env env = nullptr;
  napi_threadsafe_function finish = nullptr;
  std::function<void()> work;
  std::function<napi_value(napi_env)> result;  // none: undefined
  std::string failure;
  bool failed = false;
  napi_deferred promise = nullptr;
};

std::mutex tasks_mutex;

/// Tasks whose promises are open.
std::set<Task*>& open_tasks() {
  static auto* all = new std::set<Task*>();
  return *all;
}

void run_task(Task& task) {
  try {
    task.work();
  } catch (const c10::Error& error) {
    task.failed = true;
    task.failure = error.what_without_backtrace();
  } catch (const std::exception& error) {
    task.failed = true;
    task.failure = error.what();
  }
}

/// Keeps or breaks a task's promise; without an environment Node is about to end.
void finish_task(napi_env env, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  {
    std::lock_guard lock(tasks_mutex);
    open_tasks().erase(task.get());
  }
  if (env == nullptr) return;
  napi_value value = nullptr;
  if (!task->failed) {
    try {
      if (task->result) {
        value = task->result(env);
      } else {
        napi_get_undefined(env, &value);
      }
      napi_resolve_deferred(env, task->promise, value);
      return;
    } catch (const std::exception& error) {
      task->failure = error.what();
    }
  }
  napi_value message = nullptr;
  if (napi_create_string_utf8(env, task->failure.c_str(), task->failure.size(), &message) == napi_ok &&
      napi_create_error(env, nullptr, message, &value) == napi_ok) {
    napi_reject_deferred(env, task->promise, value);
  }
}

}  // namespace

napi_value elsewhere(napi_env env, std::function<void()> work, std::function<napi_value(napi_env)> result) {
  auto task = std::make_unique<Task>();
  task->env = env;
  task->work = std::move(work);
  task->result = std::move(result);
  napi_value promise = nullptr;
  static constexpr Finish finish{"bantam:distributed", finish_task};
  task->finish = callable_from_thread(env, finish);
  if (task->finish == nullptr || napi_create_promise(env, &task->promise, &promise) != napi_ok) {
    throw std::runtime_error("work for a group of processes could not start");
  }
  // A thread of its own: Node joins libuv's at the end of the process, which a wait for a process that hangs
  // would hold up.
  {
    std::lock_guard lock(tasks_mutex);
    open_tasks().insert(task.get());
  }
  std::thread([task = task.release()] {
    const auto finish = task->finish;
    run_task(*task);
    if (napi_call_threadsafe_function(finish, task, napi_tsfn_blocking) == napi_ok) {
      napi_release_threadsafe_function(finish, napi_tsfn_release);
    }
  }).detach();
  return promise;
}

Group group_of(const std::string& name) {
  std::lock_guard lock(groups_mutex);
  const auto found = groups().find(name);
  if (found == groups().end()) throw std::runtime_error("there is no group '" + name + "'");
  return found->second;
}

void add_group(const std::string& name, c10::intrusive_ptr<c10d::Store> store) {
  std::lock_guard lock(groups_mutex);
  if (!groups().emplace(name, Group{std::move(store), {}, {}}).second) {
    throw std::runtime_error("there is a group '" + name + "' already");
  }
}

void watch_group(const std::string& name, std::shared_ptr<Pulse> pulse) {
  std::lock_guard lock(groups_mutex);
  const auto found = groups().find(name);
  if (found == groups().end()) throw std::runtime_error("there is no group '" + name + "'");
  found->second.pulse = std::move(pulse);
}

bool connect_group(const std::string& name, c10::intrusive_ptr<c10d::Backend> backend) {
  std::lock_guard lock(groups_mutex);
  const auto found = groups().find(name);
  if (found == groups().end()) return false;
  found->second.backend = std::move(backend);
  return true;
}

Group take_group(const std::string& name, bool with_store) {
  std::lock_guard lock(groups_mutex);
  const auto found = groups().find(name);
  if (found == groups().end()) return {};
  Group taken;
  taken.backend = std::move(found->second.backend);
  taken.pulse = std::move(found->second.pulse);
  if (with_store) {
    taken.store = std::move(found->second.store);
    groups().erase(found);
  }
  return taken;
}

Milliseconds timeout_at(const Call& call, size_t at) { return Milliseconds(integer_at(call, at, 1, kLongest)); }

namespace {

/// openTcpStore(group, host, port, isServer, timeout in ms) → a promise
napi_value open_tcp_store(Call& call) {
  const auto name = string_at(call, 0), host = string_at(call, 1);
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(integer_at(call, 2, 1, 65535));
  options.isServer = boolean_at(call, 3);
  options.timeout = timeout_at(call, 4);
  options.waitWorkers = false;
  return elsewhere(call.env, [=] { add_group(name, c10::make_intrusive<c10d::TCPStore>(host, options)); });
}

/// openFileStore(group, path, processes, timeout in ms) → a promise
napi_value open_file_store(Call& call) {
  const auto name = string_at(call, 0), path = string_at(call, 1);
  const auto size = static_cast<int>(integer_at(call, 2, 1, 1 << 20));
  const auto timeout = timeout_at(call, 3);
  return elsewhere(call.env, [=] {
    auto store = c10::make_intrusive<c10d::FileStore>(path, size);
    store->setTimeout(timeout);
    add_group(name, std::move(store));
  });
}

/// storeSet(group, key, value) → a promise
napi_value store_set(Call& call) {
  const auto store = group_of(string_at(call, 0)).store;
  const auto key = string_at(call, 1), value = string_at(call, 2);
  return elsewhere(call.env, [=] { store->set(key, std::vector<uint8_t>(value.begin(), value.end())); });
}

/// storeWait(group, keys, timeout in ms) → a promise of the values, null for keys that did not come in time
napi_value store_wait(Call& call) {
  const auto store = group_of(string_at(call, 0)).store;
  const auto array = array_at(call, 1);
  std::vector<std::string> keys;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value key = array.Get(i);
    if (!key.IsString()) throw WrongType("argument 2 must hold strings, not " + shown(key));
    keys.push_back(key.As<Napi::String>());
  }
  const auto until = std::chrono::steady_clock::now() + timeout_at(call, 2);
  auto values = std::make_shared<std::vector<std::optional<std::string>>>(keys.size());
  return elsewhere(
      call.env,
      [=] {
        // Short questions instead of one long wait, during which the store would answer nobody else.
        while (true) {
          bool whole = true;
          for (size_t i = 0; i < keys.size(); ++i) {
            auto& value = (*values)[i];
            if (value) continue;
            if (store->check({keys[i]})) {
              const auto bytes = store->get(keys[i]);
              value = std::string(bytes.begin(), bytes.end());
            } else {
              whole = false;
            }
          }
          if (whole || std::chrono::steady_clock::now() > until) return;
          std::this_thread::sleep_for(Milliseconds(20));
        }
      },
      [=](napi_env env) -> napi_value {
        auto result = Napi::Array::New(env, values->size());
        for (uint32_t i = 0; i < values->size(); ++i) {
          const auto& value = (*values)[i];
          result[i] = value ? Napi::Value(Napi::String::New(env, *value)) : Napi::Env(env).Null();
        }
        return result;
      });
}

/// abandonTasks(): Node may end although promises of this thread are open, such as one for a process that hangs.
napi_value abandon_tasks(Call& call) {
  std::lock_guard lock(tasks_mutex);
  for (const auto* task : open_tasks()) {
    if (task->env == call.env) napi_unref_threadsafe_function(call.env, task->finish);
  }
  return nullptr;
}

}  // namespace

void init_stores(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"openTcpStore", open_tcp_store},
      {"openFileStore", open_file_store},
      {"storeSet", store_set},
      {"storeWait", store_wait},
      {"abandonTasks", abandon_tasks},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam::distributed

#endif
