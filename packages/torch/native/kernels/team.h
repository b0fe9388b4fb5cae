// Threads that kernels divide their work among: libtorch's for one loop, or a team of Bantam's own for many,
// because starting libtorch's, and waiting for the last of them, takes longer than a loop of a small model.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

namespace bantam {

using Task = void (*)(void* context, int64_t task);

/// Threads of the process that help whoever leads them. They wait awake for a moment, then asleep, and nobody
/// waits for one that is not there: tasks are taken by whichever threads are awake.
class Team {
 public:
  /// The calling thread leads the team as long as this lives. No effect where another thread leads it, or
  /// where libtorch has one thread.
  class Leading {
   public:
    Leading();
    ~Leading();
    Leading(const Leading&) = delete;
    Leading& operator=(const Leading&) = delete;

   private:
    Team* team_ = nullptr;
  };

  /// The team that the calling thread leads, or none.
  static Team* led();

  /// Hands out tasks one by one, and takes some. Throws what the first of them threw.
  void run(int64_t count, Task work, void* context);

  int64_t threads() const { return threads_; }

 private:
  /// The only one, which is never destroyed: its threads end with the process.
  static Team& instance();

  void start_helpers();
  void help(int64_t index);
  void take();
  void offer(uint32_t job);

  std::atomic<bool> is_led_{false};
  int64_t helpers_ = 0;  // that were started
  std::atomic<int64_t> threads_{1};
  Task work_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  /// Odd while a job is open; each value is another job or pause.
  alignas(64) std::atomic<uint32_t> job_{0};
  /// Helpers that may be reading the job.
  alignas(64) std::atomic<int64_t> busy_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  /// What a task threw in a helper.
  std::atomic<bool> has_failed_{false};
  std::exception_ptr failure_;
};

/// Hands tasks to the team that the calling thread leads, or to libtorch's threads, one by one, because their
/// durations differ.
void run_tasks(int64_t count, Task work, void* context);

/// Threads that run_tasks has here.
int64_t threads_here();

/// Whether work of so many nanoseconds on one thread is done sooner by several.
bool is_worth_dividing(int64_t nanoseconds);

/// Nanoseconds of work that the calling thread has asked {@link is_worth_dividing} about, and that a team divides.
int64_t divisible_nanoseconds();

/// work(first, count) for parts of `rows` rows that take so many nanoseconds each.
template <typename Work>
void for_rows(int64_t rows, int64_t nanoseconds, const Work& work) {
  if (!is_worth_dividing(rows * nanoseconds)) {
    if (rows > 0) work(0, rows);
    return;
  }
  struct Context {
    const Work& work;
    int64_t rows, parts;
  } context{work, rows, std::min(rows, 2 * threads_here())};
  run_tasks(context.parts, [](void* given, int64_t part) {
    const auto& c = *static_cast<const Context*>(given);
    const int64_t first = c.rows * part / c.parts;
    c.work(first, c.rows * (part + 1) / c.parts - first);
  }, &context);
}

}  // namespace bantam
