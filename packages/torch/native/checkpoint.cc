// Activation checkpointing (Chen et al. 2016). While a checkpoint's function runs, autograd hands us
// every tensor that it would keep, and we drop it. When the backward pass asks for the first of them,
// the function runs once more, and its tensors are taken in the order in which they were dropped. The
// graph is that of the first run, so that gradients are added up in the same order as without.
#include "checkpoint.h"

#include <ATen/DeviceAccelerator.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "arguments.h"
#include "handle.h"

namespace bantam {
namespace {

using torch::autograd::SavedVariableHooks;

/// Autocast of a kind of device.
struct Autocast {
  explicit Autocast(at::DeviceType type)
      : type(type),
        enabled(at::autocast::is_autocast_enabled(type)),
        dtype(at::autocast::get_autocast_dtype(type)) {}

  void apply() const {
    at::autocast::set_autocast_enabled(type, enabled);
    at::autocast::set_autocast_dtype(type, dtype);
  }

  at::DeviceType type;
  bool enabled;
  at::ScalarType dtype;
};

/// Autocast of the CPU, and of the accelerator where there is one.
class Autocasts {
 public:
  Autocasts() {
    each_.emplace_back(at::kCPU);
    if (const auto accelerator = at::accelerator::getAccelerator()) each_.emplace_back(*accelerator);
  }

  bool enabled() const {
    return std::any_of(each_.begin(), each_.end(), [](const Autocast& one) { return one.enabled; });
  }

  void apply() const {
    for (const auto& one : each_) one.apply();
    if (!enabled()) at::autocast::clear_cache();
  }

 private:
  std::vector<Autocast> each_;
};

struct Draw {
  at::Generator generator;
  at::Tensor state;
};

struct Dropped {
  std::vector<int64_t> sizes;
  at::ScalarType dtype;
};

class Checkpoint;

/// A run of a checkpoint's function that is under way on this thread.
struct Run {
  std::shared_ptr<Checkpoint> checkpoint;
  bool again;
};
thread_local std::vector<Run> runs;

/// One call of a function: what it takes to run it again, and what that brought back.
class Checkpoint {
 public:
  Checkpoint(Napi::Function again, std::vector<at::Tensor> inputs)
      : again_(Napi::Persistent(again)), inputs_(std::move(inputs)) {}

  size_t drop(const at::Tensor& tensor) {
    dropped_.push_back({tensor.sizes().vec(), tensor.scalar_type()});
    return dropped_.size() - 1;
  }

  void bring_back(const at::Tensor& tensor) { returned_.push_back(tensor.detach()); }

  at::Tensor take(size_t index, const std::shared_ptr<Checkpoint>& self) {
    if (returned_.empty()) run_again(self);
    return returned_.at(index);
  }

  void let_go(size_t index) {
    if (index < returned_.size()) returned_[index].reset();
  }

  void note(const at::Generator& generator) {
    for (const auto& draw : draws_) {
      if (draw.generator == generator) return;
    }
    draws_.push_back({generator, generator.get_state()});
  }

  void end_first_run() { ended_ = true; }

 private:
  void run_again(const std::shared_ptr<Checkpoint>& self);
  void check() const;

  Napi::FunctionReference again_;
  std::vector<at::Tensor> inputs_;
  std::vector<Draw> draws_;
  std::vector<Dropped> dropped_;
  std::vector<at::Tensor> returned_;
  const Autocasts autocast_;
  const bool grad_mode_ = c10::GradMode::is_enabled();
  const std::thread::id thread_ = std::this_thread::get_id();
  bool ended_ = false;
};

/// Everything is as in the first run while this lives, and as before afterwards.
class Rerun {
 public:
  Rerun(const std::shared_ptr<Checkpoint>& checkpoint, const Autocasts& autocast, bool grad_mode,
        const std::vector<Draw>& draws)
      : grad_mode_(grad_mode) {
    for (auto draw : draws) {
      draws_.push_back({draw.generator, draw.generator.get_state()});
      draw.generator.set_state(draw.state);
    }
    applies_ = autocast.enabled() || before_.enabled();
    if (applies_) autocast.apply();
    runs.push_back({checkpoint, true});
  }

  ~Rerun() {
    runs.pop_back();
    if (applies_) before_.apply();
    for (auto& draw : draws_) draw.generator.set_state(draw.state);
  }

 private:
  const c10::AutoGradMode grad_mode_;
  const Autocasts before_;
  bool applies_ = false;
  std::vector<Draw> draws_;
};

void Checkpoint::run_again(const std::shared_ptr<Checkpoint>& self) {
  TORCH_CHECK(ended_, "a backward pass through a checkpoint ran inside the checkpoint's own function");
  TORCH_CHECK(std::this_thread::get_id() == thread_,
              "a checkpoint's backward pass ran on another thread than its function");
  const auto env = again_.Env();
  Napi::HandleScope handles(env);
  auto inputs = Napi::Array::New(env, inputs_.size());
  for (uint32_t i = 0; i < inputs_.size(); ++i) inputs[i] = wrap_tensor(env, inputs_[i]);
  try {
    const Rerun rerun(self, autocast_, grad_mode_, draws_);
    again_.Call({inputs});
    check();
  } catch (...) {
    returned_.clear();
    throw;
  }
}

void Checkpoint::check() const {
  constexpr auto kRemedy = "; it must compute the same whenever it is called with the same tensors";
  TORCH_CHECK(returned_.size() == dropped_.size(), "a checkpoint's function kept ", dropped_.size(),
              " tensors for the backward pass in its first run, but ", returned_.size(), " in its second", kRemedy);
  for (size_t i = 0; i < dropped_.size(); ++i) {
    TORCH_CHECK(returned_[i].sizes() == dropped_[i].sizes && returned_[i].scalar_type() == dropped_[i].dtype,
                "a checkpoint's function kept a tensor of shape ", at::IntArrayRef(dropped_[i].sizes), " (",
                dropped_[i].dtype, ") in its first run, but of ", returned_[i].sizes(), " (",
                returned_[i].scalar_type(), ") in its second", kRemedy);
  }
}

/// Of a tensor that the first run would have kept.
class DroppedHook final : public SavedVariableHooks {
 public:
  explicit DroppedHook(std::shared_ptr<Checkpoint> checkpoint) : checkpoint_(std::move(checkpoint)) {}
  ~DroppedHook() override { checkpoint_->let_go(index_); }

  void call_pack_hook(const at::Tensor& tensor) override { index_ = checkpoint_->drop(tensor); }
  at::Tensor call_unpack_hook() override { return checkpoint_->take(index_, checkpoint_); }

 private:
  std::shared_ptr<Checkpoint> checkpoint_;
  size_t index_ = 0;
};

/// Of a tensor of the second run, whose graph is never gone through.
class ReturnedHook final : public SavedVariableHooks {
 public:
  explicit ReturnedHook(Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  void call_pack_hook(const at::Tensor& tensor) override { checkpoint_.bring_back(tensor); }
  at::Tensor call_unpack_hook() override {
    TORCH_CHECK(false, "a backward pass through a checkpoint ran inside the checkpoint's own function");
  }

 private:
  Checkpoint& checkpoint_;
};

/// libtorch's autograd engine, which asks us what to do with a tensor before it keeps it.
class Engine final : public torch::autograd::Engine {
 public:
  std::unique_ptr<SavedVariableHooks> get_default_saved_variable_hooks() override {
    if (runs.empty()) return nullptr;
    const auto& [checkpoint, again] = runs.back();
    if (again) return std::make_unique<ReturnedHook>(*checkpoint);
    return std::make_unique<DroppedHook>(checkpoint);
  }
};

torch::autograd::Engine& engine() {
  static auto* engine = new Engine();  // threads may use it until the process ends
  return *engine;
}

/// beginCheckpoint(inputs, again): until endCheckpoint() nothing is kept for the backward pass, which
/// calls again(inputs) in its place.
napi_value begin_checkpoint(Call& call) {
  auto inputs = tensors_at(call, 0);
  const auto again = function_at(call, 1);
  runs.push_back({std::make_shared<Checkpoint>(again, std::move(inputs)), false});
  return nullptr;
}

napi_value end_checkpoint(Call&) {
  TORCH_CHECK(!runs.empty() && !runs.back().again, "no checkpoint has begun that could end");
  runs.back().checkpoint->end_first_run();
  runs.pop_back();
  return nullptr;
}

/// A worker that is ended inside a checkpoint's function never ends the checkpoint, whose reference to
/// that function must go before its Node does.
void end_thread(void*) { runs.clear(); }

}  // namespace

void note_draw(const at::Generator& generator) {
  for (const auto& [checkpoint, again] : runs) {
    if (!again) checkpoint->note(generator);
  }
}

void init_checkpoint(napi_env env, napi_value exports) {
  torch::autograd::set_default_engine_stub(&engine);
  napi_add_env_cleanup_hook(env, end_thread, nullptr);
  static constexpr Entry entries[] = {{"beginCheckpoint", begin_checkpoint}, {"endCheckpoint", end_checkpoint}};
  add_entries(env, exports, entries);
}

}  // namespace bantam
