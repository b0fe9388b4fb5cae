// Signs of life of a group's processes, and of the connections between them.
#include "distributed.h"

#ifdef BANTAM_HAS_C10D

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "guard.h"

namespace bantam::distributed {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Milliseconds kBeat{2000};

int64_t now() { return std::chrono::duration_cast<Milliseconds>(Clock::now().time_since_epoch()).count(); }

}  // namespace

/// Shared with the thread, which may outlive the group.
struct Pulse::State {
  c10::intrusive_ptr<c10d::Store> store;
  std::string prefix;
  int rank, size;
  int64_t patience;  // in ms
  std::atomic<int64_t> answered{now()};  // when the store has answered last
  std::atomic<bool> failed{false};
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool stopped = false;
  std::vector<int64_t> since;  // when each process's sign has changed last; -1 before its first

  std::string key(int of) const { return prefix + "/pulse/" + std::to_string(of); }

  void beat() {
    std::vector<std::vector<uint8_t>> seen(size);
    for (int64_t count = 0;; ++count) {
      const auto text = std::to_string(count);
      store->set(key(rank), std::vector<uint8_t>(text.begin(), text.end()));
      for (int other = 0; other < size; ++other) {
        if (other == rank || !store->check({key(other)})) continue;
        auto value = store->get(key(other));
        if (value == seen[other]) continue;
        seen[other] = std::move(value);
        std::lock_guard lock(mutex);
        since[other] = now();
      }
      answered = now();
      std::unique_lock lock(mutex);
      if (changed.wait_for(lock, kBeat, [&] { return stopped; })) return;
    }
  }
};

Pulse::Pulse(c10::intrusive_ptr<c10d::Store> store, std::string prefix, int rank, int size, Milliseconds patience)
    : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->prefix = std::move(prefix);
  state_->rank = rank;
  state_->size = size;
  state_->patience = patience.count();
  state_->since.assign(size, -1);
  thread_ = std::thread([state = state_] {
    try {
      state->beat();
    } catch (const std::exception&) {
      state->failed = true;
    }
  });
}

Pulse::~Pulse() { stop(/*wait=*/false); }

std::string Pulse::lost() const {
  if (is_cut_off()) return "the store does not answer";
  return silent(Milliseconds(state_->patience)).empty() ? "" : "a process shows no sign of life";
}

std::vector<int> Pulse::silent(Milliseconds patience) const {
  std::lock_guard lock(state_->mutex);
  std::vector<int> ranks;
  for (int rank = 0; rank < state_->size; ++rank) {
    const auto last = state_->since[rank];
    // Only up to the last look: this thread itself may have been held up.
    if (last >= 0 && state_->answered - last > patience.count()) ranks.push_back(rank);
  }
  return ranks;
}

bool Pulse::is_cut_off() const { return state_->failed || now() - state_->answered > state_->patience; }

void Pulse::stop(bool wait) {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopped = true;
  }
  state_->changed.notify_all();
  if (!thread_.joinable()) return;
  if (wait) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

namespace {

// Connections that the kernel gives up when the other machine cannot be reached any more. A link that is cut between
// two processes is otherwise noticed by neither: both show signs of life in the store, and wait for each other.

/// Probes of a connection before it is given up.
constexpr int kProbes = 3;

bool is_connection(int file) {
  int type = 0;
  socklen_t length = sizeof(type);
  if (getsockopt(file, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) return false;
  sockaddr_storage other{};
  length = sizeof(other);
  if (getpeername(file, reinterpret_cast<sockaddr*>(&other), &length) != 0) return false;
  return other.ss_family == AF_INET || other.ss_family == AF_INET6;
}

/// connections() → the file descriptors of this process's TCP connections
napi_value connections(Call& call) {
  std::vector<int> files;
  if (auto* folder = opendir("/dev/fd")) {
    while (const auto* entry = readdir(folder)) {
      const int file = std::atoi(entry->d_name);
      if (file > 2 && is_connection(file)) files.push_back(file);
    }
    closedir(folder);
  }
  auto result = Napi::Array::New(call.env, files.size());
  for (uint32_t i = 0; i < files.size(); ++i) result[i] = Napi::Number::New(call.env, files[i]);
  return result;
}

/// limitSilence(connections, ms): what waits for a connection fails when the kernel of the other machine has confirmed
/// nothing for so long. That of a process that computes or is stopped does confirm.
napi_value limit_silence(Call& call) {
  const auto files = array_at(call, 0);
  const auto silence = static_cast<int>(timeout_at(call, 1).count());
  const int on = 1, probes = kProbes, interval = std::max(1, silence / 1000 / (kProbes + 1));
  for (uint32_t i = 0; i < files.Length(); ++i) {
    const Napi::Value value = files.Get(i);
    const int file = value.As<Napi::Number>().Int32Value();
    setsockopt(file, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(file, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(file, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
#ifdef __APPLE__
    setsockopt(file, IPPROTO_TCP, TCP_KEEPALIVE, &interval, sizeof(interval));
#else
    setsockopt(file, IPPROTO_TCP, TCP_KEEPIDLE, &interval, sizeof(interval));
    const auto unconfirmed = static_cast<unsigned>(silence);
    setsockopt(file, IPPROTO_TCP, TCP_USER_TIMEOUT, &unconfirmed, sizeof(unconfirmed));
#endif
  }
  return nullptr;
}

}  // namespace

void init_connections(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {{"connections", connections}, {"limitSilence", limit_silence}};
  add_entries(env, exports, entries);
}

}  // namespace bantam::distributed

#endif
