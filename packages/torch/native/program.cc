#include "program.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "arguments.h"
#include "handle.h"
#include "kernels/team.h"

namespace bantam {
namespace {

using torch::jit::Stack;

/// An argument that is a tensor of the program, or a list with some.
struct Use {
  size_t argument;
  /// Element of the list, or none, and slot.
  std::vector<std::pair<std::optional<size_t>, size_t>> slots;
};

/// A call of an operator. Its results take the slots from `first_result` on.
struct Step {
  c10::OperatorHandle op;
  Stack arguments;  // tensors of the program left out
  std::vector<Use> uses;
  size_t first_result, results;
  bool autocast;
  at::ScalarType autocast_dtype;
  bool in_team;               // needs none of libtorch's threads
  int64_t divisible;          // nanoseconds of work that a team divides
  std::vector<size_t> freed;  // slots that nothing after it reads
};

/// Steps one after the other, with a team or without one.
struct Stretch {
  size_t first, end;
  bool in_team;
};

struct InputShape {
  std::vector<int64_t> sizes;
  at::ScalarType dtype;
};

/// What a program's external points to.
struct Program {
  Tag tag = Tag::kProgram;
  std::vector<InputShape> inputs;  // in the first slots
  std::vector<Step> steps;
  std::vector<Stretch> stretches;
  std::vector<size_t> outputs;
  size_t slots = 0;
};

template <typename Each>
void each_tensor(const Stack& values, const Each& each) {
  for (const auto& value : values) {
    if (value.isTensor()) {
      each(value.toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorList()) each(tensor);
    }
  }
}

/// Under construction. All tensors stay alive meanwhile, so that each keeps its address.
class Recorder {
 public:
  explicit Recorder(const std::vector<at::Tensor>& inputs) {
    for (const auto& input : inputs) {
      if (!input.is_cpu()) possible_ = false;
      program_->inputs.push_back({input.sizes().vec(), input.scalar_type()});
      enter(input);
    }
  }

  void add(const c10::OperatorHandle& op, const Stack& arguments, const Stack& results) {
    if (!can_repeat(op, arguments)) possible_ = false;
    if (!possible_) return;
    Step step{op, arguments, {}, program_->slots, 0, at::autocast::is_autocast_enabled(at::kCPU),
              at::autocast::get_autocast_dtype(at::kCPU), false, divisible_nanoseconds() - divided_, {}};
    divided_ = divisible_nanoseconds();
    for (size_t i = 0; i < arguments.size(); ++i) take_slots(step, i);
    step.in_team = is_light(arguments, results) || is_for_team(step);
    std::unordered_set<const c10::StorageImpl*> given;
    each_tensor(arguments, [&](const at::Tensor& tensor) { given.insert(memory_of(tensor)); });
    each_tensor(results, [&](const at::Tensor& tensor) {
      enter(tensor);
      if (given.count(memory_of(tensor)) == 0) made_.insert(memory_of(tensor));
      ++step.results;
    });
    const bool writes = op.schema().is_mutable();
    if (step.results > 0 || writes) program_->steps.push_back(std::move(step));
  }

  void note_read(const at::Tensor& tensor) {
    if (slot_of(tensor)) possible_ = false;
  }

  /// The program, or none where it would not compute the same for other inputs.
  std::unique_ptr<Program> finish(const std::vector<at::Tensor>& outputs) {
    for (const auto& output : outputs) {
      const auto slot = slot_of(output);
      if (!possible_ || !slot) return nullptr;
      program_->outputs.push_back(*slot);
    }
    if (program_->outputs.empty()) return nullptr;
    free_early();
    divide();
    return std::move(program_);
  }

 private:
  std::optional<size_t> slot_of(const at::Tensor& tensor) const {
    const auto found = slots_.find(tensor.unsafeGetTensorImpl());
    return found == slots_.end() ? std::nullopt : std::optional<size_t>(found->second);
  }

  /// None for tensors of oneDNN, which nothing writes to.
  static const c10::StorageImpl* memory_of(const at::Tensor& tensor) {
    return tensor.defined() && tensor.has_storage() ? tensor.storage().unsafeGetStorageImpl() : nullptr;
  }

  void enter(const at::Tensor& tensor) {
    if (tensor.defined()) slots_[tensor.unsafeGetTensorImpl()] = program_->slots;
    alive_.push_back(tensor);
    ++program_->slots;
  }

  /// Whether a call does the same again: no random numbers, no shapes that depend on elements, and nothing
  /// written but what the program made.
  bool can_repeat(const c10::OperatorHandle& op, const Stack& arguments) const {
    if (c10::GradMode::is_enabled()) return false;
    if (op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output)) return false;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const auto& value = arguments[i];
      if (value.isGenerator() || value.isOptionalTensorList()) return false;
      const auto* alias = op.schema().arguments()[i].alias_info();
      if (alias == nullptr || !alias->isWrite()) continue;
      // A view of a weight is the program's, but its memory is not.
      if (!value.isTensor() || made_.count(memory_of(value.toTensor())) == 0) return false;
    }
    return true;
  }

  /// Numbers that libtorch works on sooner than a second thread of its own would have begun.
  static constexpr int64_t kFew = 1 << 16;

  static bool is_light(const Stack& arguments, const Stack& results) {
    int64_t numbers = 0;
    const auto add = [&](const at::Tensor& tensor) { numbers += tensor.defined() ? tensor.numel() : 0; };
    each_tensor(arguments, add);
    each_tensor(results, add);
    return numbers <= kFew;
  }

  /// Whether a call hands all of its work to a team: of Bantam's operators those that libtorch and oneDNN do
  /// nothing for, whose weights are vectors, packed into one, or small.
  static bool is_for_team(const Step& step) {
    if (step.op.schema().name().rfind("bantam::", 0) != 0) return false;
    bool has_matrix = false;
    each_tensor(step.arguments, [&](const at::Tensor& weight) {
      has_matrix |= weight.defined() && weight.dim() > 1 && weight.numel() > kFew;
    });
    return !has_matrix;
  }

  /// Joins neighbours that are alike.
  void divide() {
    // A team that has less to do costs other programs more than it saves. One between libtorch's threads, which
    // wait for work for a while, would have to share their cores.
    constexpr int64_t kLittle = 100'000;
    constexpr size_t kFewSteps = 6;
    auto& stretches = program_->stretches;
    int64_t work = 0;
    const auto end_stretch = [&] {
      if (stretches.empty()) return;
      auto& [first, end, in_team] = stretches.back();
      in_team &= work >= kLittle && end - first > kFewSteps;
      work = 0;
    };
    for (size_t i = 0; i < program_->steps.size(); ++i) {
      const auto& step = program_->steps[i];
      if (i == 0 || program_->steps[i - 1].in_team != step.in_team) {
        end_stretch();
        stretches.push_back({i, i, step.in_team});
      }
      stretches.back().end = i + 1;
      work += step.divisible;
    }
    end_stretch();
  }

  void take_slots(Step& step, size_t argument) {
    auto& value = step.arguments[argument];
    Use use{argument, {}};
    if (value.isTensor()) {
      if (const auto slot = slot_of(value.toTensor())) use.slots.emplace_back(std::nullopt, *slot);
    } else if (value.isTensorList()) {
      auto list = value.toTensorList().copy();
      for (size_t i = 0; i < list.size(); ++i) {
        if (const auto slot = slot_of(list[i])) {
          use.slots.emplace_back(i, *slot);
          list[i] = at::Tensor();
        }
      }
      value = list;
    }
    if (use.slots.empty()) return;
    if (value.isTensor()) value = at::Tensor();
    step.uses.push_back(std::move(use));
  }

  /// Gives each slot that is no output to the last step that reads it, or else makes it.
  void free_early() {
    std::vector<std::optional<size_t>> last(program_->slots);
    for (size_t i = 0; i < program_->steps.size(); ++i) {
      const auto& step = program_->steps[i];
      for (size_t r = 0; r < step.results; ++r) last[step.first_result + r] = i;
      for (const auto& use : step.uses) {
        for (const auto& [element, slot] : use.slots) last[slot] = i;
      }
    }
    for (const size_t output : program_->outputs) last[output] = std::nullopt;
    for (size_t slot = 0; slot < last.size(); ++slot) {
      if (last[slot]) program_->steps[*last[slot]].freed.push_back(slot);
    }
  }

  std::unique_ptr<Program> program_ = std::make_unique<Program>();
  std::unordered_map<const c10::TensorImpl*, size_t> slots_;
  /// Memory of tensors that calls of the program made.
  std::unordered_set<const c10::StorageImpl*> made_;
  std::vector<at::Tensor> alive_;
  int64_t divided_ = divisible_nanoseconds();
  bool possible_ = true;
};

/// Each worker thread has JavaScript of its own.
thread_local std::unique_ptr<Recorder> recorder;

/// Sets autocast of the CPU as a step had it, and in the end as it was.
class StepAutocast {
 public:
  ~StepAutocast() { set(enabled_, dtype_); }

  void set(bool enabled, at::ScalarType dtype) {
    if (enabled == at::autocast::is_autocast_enabled(at::kCPU) && dtype == at::autocast::get_autocast_dtype(at::kCPU)) {
      return;
    }
    at::autocast::set_autocast_enabled(at::kCPU, enabled);
    at::autocast::set_autocast_dtype(at::kCPU, dtype);
    if (!enabled) at::autocast::clear_cache();
  }

 private:
  const bool enabled_ = at::autocast::is_autocast_enabled(at::kCPU);
  const at::ScalarType dtype_ = at::autocast::get_autocast_dtype(at::kCPU);
};

void check_inputs(const Program& program, const std::vector<at::Tensor>& inputs) {
  if (inputs.size() != program.inputs.size()) {
    throw OutOfRange("the program takes " + std::to_string(program.inputs.size()) + " tensors, not " +
                     std::to_string(inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& [sizes, dtype] = program.inputs[i];
    const auto& input = inputs[i];
    if (input.is_cpu() && input.is_contiguous() && input.sizes() == at::IntArrayRef(sizes) &&
        input.scalar_type() == dtype) {
      continue;
    }
    throw OutOfRange("input " + std::to_string(i + 1) + " has another shape, type or device than the recorded one");
  }
}

void run_step(const Step& step, std::vector<at::Tensor>& slots) {
  Stack stack = step.arguments;
  for (const auto& use : step.uses) {
    auto& value = stack[use.argument];
    if (!use.slots.front().first) {
      value = slots[use.slots.front().second];
      continue;
    }
    auto list = value.toTensorList().copy();
    for (const auto& [element, slot] : use.slots) list[*element] = slots[slot];
    value = std::move(list);
  }
  step.op.callBoxed(stack);
  size_t result = step.first_result;
  each_tensor(stack, [&](const at::Tensor& tensor) {
    TORCH_CHECK(result < step.first_result + step.results, step.op.schema().name(), " gave more tensors than before");
    slots[result++] = tensor;
  });
  for (const size_t slot : step.freed) slots[slot].reset();
}

std::vector<at::Tensor> run(const Program& program, const std::vector<at::Tensor>& inputs) {
  const c10::AutoGradMode no_grad(false);
  // Without gradients autograd has nothing to do, and its part of each call is not even asked.
  const at::AutoDispatchBelowADInplaceOrView below;
  StepAutocast autocast;
  std::vector<at::Tensor> slots(program.slots);
  std::copy(inputs.begin(), inputs.end(), slots.begin());
  for (const auto& [first, end, in_team] : program.stretches) {
    std::optional<Team::Leading> leading;
    if (in_team) leading.emplace();
    for (size_t i = first; i < end; ++i) {
      const auto& step = program.steps[i];
      autocast.set(step.autocast, step.autocast_dtype);
      run_step(step, slots);
    }
  }
  std::vector<at::Tensor> outputs;
  for (const size_t slot : program.outputs) outputs.push_back(slots[slot]);
  return outputs;
}

/// beginProgram(inputs): records the operators that are called from here on.
napi_value begin_program(Call& call) {
  const auto inputs = tensors_at(call, 0);
  if (recorder) throw OutOfRange("a program is being recorded already");
  recorder = std::make_unique<Recorder>(inputs);
  return nullptr;
}

/// endProgram(outputs | null) → the program, or null where there is none, as when null is given.
napi_value end_program(Call& call) {
  const auto ended = std::move(recorder);
  if (!ended) throw OutOfRange("no program is being recorded");
  if (value_at(call, 0).IsNull()) return Napi::Env(call.env).Null();
  auto program = ended->finish(tensors_at(call, 0));
  if (!program) return Napi::Env(call.env).Null();
  auto external = Napi::External<Program>::New(call.env, program.get(), [](Napi::Env, Program* given) { delete given; });
  program.release();  // now the external's
  return external;
}

Program& program_at(const Call& call, size_t at) {
  const auto value = value_at(call, at);
  auto* program = value.IsExternal() ? value.As<Napi::External<Program>>().Data() : nullptr;
  if (program == nullptr || program->tag != Tag::kProgram) throw WrongType("expected a program, not " + shown(value));
  return *program;
}

/// disposeProgram(program): frees the tensors that it keeps.
napi_value dispose_program(Call& call) {
  auto& program = program_at(call, 0);
  program.steps.clear();
  program.stretches.clear();
  program.outputs.clear();
  return nullptr;
}

/// runProgram(program, inputs) → its outputs.
napi_value run_program(Call& call) {
  const auto& program = program_at(call, 0);
  if (program.outputs.empty()) throw WrongType("the program was disposed before this use");
  const auto inputs = tensors_at(call, 1);
  check_inputs(program, inputs);
  auto outputs = run(program, inputs);
  auto result = Napi::Array::New(call.env, outputs.size());
  for (uint32_t i = 0; i < outputs.size(); ++i) result[i] = wrap_tensor(call.env, std::move(outputs[i]));
  return result;
}

}  // namespace

bool is_recording_program() { return recorder != nullptr; }

void record_in_program(const c10::OperatorHandle& op, const Stack& arguments, const Stack& results) {
  recorder->add(op, arguments, results);
}

void note_read(const at::Tensor& tensor) {
  if (recorder) recorder->note_read(tensor);
}

void init_program(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"beginProgram", begin_program}, {"endProgram", end_program}, {"runProgram", run_program},
      {"disposeProgram", dispose_program}};
  add_entries(env, exports, entries);
}

}  // namespace bantam
