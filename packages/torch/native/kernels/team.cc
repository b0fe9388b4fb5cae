#include "team.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace bantam {
namespace {

thread_local Team* led_here = nullptr;
thread_local int64_t divisible = 0;

/// Rounds of waiting awake, about 0.1 ms, as long as libgomp's threads wait (src/native.ts).
constexpr int kRounds = 10'000;

bool is_open(uint32_t job) { return job % 2 == 1; }

void wait_a_moment() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Tasks of a job that call run_tasks themselves are no jobs.
class NotLeading {
 public:
  NotLeading() : led_(led_here) { led_here = nullptr; }
  ~NotLeading() { led_here = led_; }

 private:
  Team* const led_;
};

}  // namespace

Team& Team::instance() {
  static auto* team = new Team;
  return *team;
}

Team* Team::led() { return led_here; }

Team::Leading::Leading() {
  if (led_here != nullptr || at::get_num_threads() == 1 || at::in_parallel_region()) return;
  auto& team = instance();
  if (team.is_led_.exchange(true)) return;
  team_ = led_here = &team;
  team.start_helpers();
}

Team::Leading::~Leading() {
  if (team_ == nullptr) return;
  led_here = nullptr;
  team_->is_led_ = false;
}

void Team::start_helpers() {
  threads_ = at::get_num_threads();
  while (helpers_ < threads_ - 1) {
    std::thread([this, index = helpers_] { help(index); }).detach();
    ++helpers_;
  }
  // Sleeping helpers are to be awake for the first job.
  offer(job_ + 2);
}

void Team::offer(uint32_t job) {
  job_ = job;
  job_.notify_all();
}

void Team::take() {
  for (int64_t task = next_++; task < count_; task = next_++) work_(context_, task);
}

void Team::run(int64_t count, Task work, void* context) {
  if (count == 1) return work(context, 0);
  const NotLeading not_leading;
  work_ = work;
  context_ = context;
  count_ = count;
  next_ = 0;
  has_failed_ = false;
  offer(job_ + 1);
  // No helper reads the job afterwards, also where a task threw: either it counts as busy before the job is
  // closed, or it finds the job closed.
  struct Closing {
    Team& team;
    ~Closing() {
      ++team.job_;
      for (int round = 0; team.busy_ != 0; ++round) {
        if (round < kRounds) wait_a_moment();
        else std::this_thread::yield();
      }
    }
  };
  {
    const Closing closing{*this};
    take();
  }
  if (has_failed_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Team::help(int64_t index) {
  struct Busy {
    std::atomic<int64_t>& count;
    explicit Busy(std::atomic<int64_t>& count) : count(count) { ++count; }
    ~Busy() { --count; }
  };
  uint32_t seen = 0;
  for (int round = 0;; ++round) {
    const uint32_t offered = job_;
    if (offered == seen || !is_open(offered) || index >= threads_ - 1) {
      if (offered != seen && !is_open(offered)) round = 0;
      seen = offered;
      if (round < kRounds) {
        wait_a_moment();
      } else {
        job_.wait(offered);
        round = 0;
      }
      continue;
    }
    const Busy busy(busy_);
    const uint32_t job = job_;
    if (!is_open(job)) continue;
    seen = job;
    try {
      take();
    } catch (...) {
      if (!has_failed_.exchange(true)) failure_ = std::current_exception();
    }
    round = 0;
  }
}

void run_tasks(int64_t count, Task work, void* context) {
  if (auto* team = Team::led()) return team->run(count, work, context);
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    for (int64_t task = next++; task < count; task = next++) work(context, task);
  });
}

int64_t threads_here() {
  if (const auto* team = Team::led()) return team->threads();
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

bool is_worth_dividing(int64_t nanoseconds) {
  // Twice the time until a second thread has begun.
  constexpr int64_t kAwake = 1'500, kAsleep = 10'000;
  if (nanoseconds >= kAwake) divisible += nanoseconds;
  return nanoseconds >= (Team::led() != nullptr ? kAwake : kAsleep) && threads_here() > 1;
}

int64_t divisible_nanoseconds() { return divisible; }

}  // namespace bantam
