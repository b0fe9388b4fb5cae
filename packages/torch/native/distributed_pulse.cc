// Signs of life of a group's processes.
#include "distributed.h"

#ifdef BANTAM_HAS_C10D

#include <string>
#include <vector>

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

}  // namespace bantam::distributed

#endif
