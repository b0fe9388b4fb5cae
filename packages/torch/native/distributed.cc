// Collectives of groups of processes, which other threads wait for, and a sum over the processes
// that gradients pass through: c10d with Gloo.
//
// libtorch's wheel holds Gloo but not Gloo's headers, so the class of its process group is declared here,
// with the members in use; the layout is that of one version of libtorch, and for any other hasGloo() is false.
#include "distributed.h"

#include "handle.h"

#ifdef BANTAM_HAS_C10D

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/library.h>

#include <memory>
#include <string_view>
#include <thread>
#include <vector>

namespace c10d {

/// The class of libtorch's library, whose table of virtual functions it brings. Weak: where libtorch was
/// built without Gloo the addon loads all the same.
class TORCH_API ProcessGroupGloo : public Backend {
 public:
  struct TORCH_API Options : public Backend::Options {
    explicit Options(std::chrono::milliseconds timeout);
    static c10::intrusive_ptr<Options> create_default(std::chrono::milliseconds timeout) __attribute__((weak));
    std::vector<std::shared_ptr<void>> devices;
    int threads{2};
  };
  explicit ProcessGroupGloo(const c10::intrusive_ptr<Store>& store, int rank, int size,
                            c10::intrusive_ptr<Options> options) __attribute__((weak));
  ~ProcessGroupGloo() override __attribute__((weak));

 private:
  char members_[4096];  // more than the real ones take
};

}  // namespace c10d

namespace bantam::distributed {
namespace {

constexpr Milliseconds kConnecting{30'000};
/// Of a collective. Whoever waits for one asks the pulse whether there is anything to wait for.
constexpr Milliseconds kCollective{24LL * 3600 * 1000};

bool has_gloo() { return &c10d::ProcessGroupGloo::Options::create_default != nullptr; }

/// A group with connections.
Group joined(const std::string& name) {
  auto group = group_of(name);
  if (!group.backend) throw std::runtime_error("the group '" + name + "' was not joined");
  return group;
}

// --- Joining and leaving ---

/// watchGroup(group, prefix, rank, processes, patience in ms): shows signs of life in the group's store from now on,
/// under keys that begin with `prefix`. A process that has shown some, and then none for so long, is given up.
napi_value watch_group_of(Call& call) {
  const auto name = string_at(call, 0), prefix = string_at(call, 1);
  const auto size = static_cast<int>(integer_at(call, 3, 1, 1 << 20));
  const auto rank = static_cast<int>(integer_at(call, 2, 0, size - 1));
  watch_group(name, std::make_shared<Pulse>(group_of(name).store, prefix, rank, size, timeout_at(call, 4)));
  return nullptr;
}

/// lostRanks(group, patience in ms) → the processes without a sign of life for so long, none if it is the store that
/// does not answer; null while all live
napi_value lost_ranks(Call& call) {
  const auto pulse = group_of(string_at(call, 0)).pulse;
  const auto patience = timeout_at(call, 1);
  const Napi::Env env(call.env);
  if (!pulse) return env.Null();
  const bool is_cut_off = pulse->is_cut_off();
  const auto silent = is_cut_off ? std::vector<int>() : pulse->silent(patience);
  if (!is_cut_off && silent.empty()) return env.Null();
  auto result = Napi::Array::New(call.env, silent.size());
  for (uint32_t i = 0; i < silent.size(); ++i) result[i] = Napi::Number::New(call.env, silent[i]);
  return result;
}

/// joinGroup(group, prefix, rank, processes) → a promise. The group has its store already, in which its keys begin
/// with `prefix`, and is watched.
napi_value join_group(Call& call) {
  const auto name = string_at(call, 0);
  const auto store = group_of(name).store;
  const auto prefix = string_at(call, 1);
  const auto size = static_cast<int>(integer_at(call, 3, 1, 1 << 20));
  const auto rank = static_cast<int>(integer_at(call, 2, 0, size - 1));
  return elsewhere(call.env, [=] {
    if (!has_gloo()) throw std::runtime_error("libtorch was built without Gloo");
    auto prefixed = c10::make_intrusive<c10d::PrefixStore>(prefix, store);
    auto options = c10d::ProcessGroupGloo::Options::create_default(kConnecting);
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(prefixed, rank, size, options);
    auto group = c10::make_intrusive<c10d::ProcessGroup>(prefixed, rank, size);
    group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
    group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
    group->setGroupName(name);
    // Nobody waits any more if a process was lost meanwhile.
    if (!connect_group(name, gloo)) return;
    c10d::register_process_group(name, group);
  });
}

/// leaveGroup(group) → a promise
napi_value leave_group(Call& call) {
  const auto name = string_at(call, 0);
  auto group = std::make_shared<Group>(take_group(name, /*with_store=*/true));
  if (group->backend) c10d::unregister_process_group(name);
  return elsewhere(call.env, [group] {
    if (group->pulse) group->pulse->stop(/*wait=*/true);
    group->pulse.reset();
    group->backend.reset();
    group->store.reset();
  });
}

/// dropConnections(group): the others' collectives with this process fail from now on; the store stays. Nobody
/// waits for collectives that still run: the connections close when those have ended.
napi_value drop_connections(Call& call) {
  const auto name = string_at(call, 0);
  auto group = take_group(name, /*with_store=*/false);
  if (!group.backend) return nullptr;
  c10d::unregister_process_group(name);
  std::thread([left = std::move(group.backend)]() mutable { left.reset(); }).detach();
  return nullptr;
}

// --- Collectives ---

/// Memory of the host without gaps, which Gloo reads and writes.
at::Tensor plain(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(),
              "a collective takes contiguous tensors of the CPU, not one of ", tensor.device(), " with strides ",
              tensor.strides());
  return tensor.detach();
}

std::vector<at::Tensor> plain_tensors_at(const Call& call, size_t at) {
  auto tensors = tensors_at(call, at);
  for (auto& tensor : tensors) tensor = plain(tensor);
  return tensors;
}

/// Waits for a collective as long as all processes live.
void wait_for(const Pulse& pulse, c10d::Work& work) {
  while (true) {
    try {
      work.wait(Milliseconds(1000));
      return;
    } catch (const std::exception&) {
      if (work.isCompleted()) {
        work.wait();
        return;
      }
      const auto reason = pulse.lost();
      if (!reason.empty()) throw std::runtime_error(reason);
    }
  }
}

using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

/// A promise for the end of collectives that have begun; `held` lives until then.
napi_value after(napi_env env, const Group& group, Works works, std::vector<at::Tensor> held,
                 std::function<napi_value(napi_env)> result = nullptr) {
  return elsewhere(
      env,
      // Not the connections: whoever has them last waits for what still runs.
      [pulse = group.pulse, works = std::move(works), held = std::move(held)] {
        for (const auto& work : works) wait_for(*pulse, *work);
      },
      std::move(result));
}

/// allReduce(group, tensors, 'sum' | 'max' | 'min') → a promise: in place
napi_value all_reduce(Call& call) {
  const auto group = joined(string_at(call, 0));
  auto tensors = plain_tensors_at(call, 1);
  const auto kind = string_at(call, 2);
  c10d::AllreduceOptions options;
  if (kind == "max") {
    options.reduceOp = c10d::ReduceOp::MAX;
  } else if (kind == "min") {
    options.reduceOp = c10d::ReduceOp::MIN;
  } else if (kind != "sum") {
    throw WrongType("argument 3 must be 'sum', 'max' or 'min', not '" + kind + "'");
  }
  options.timeout = kCollective;
  Works works;
  for (const auto& tensor : tensors) {
    std::vector<at::Tensor> one{tensor};
    works.push_back(group.backend->allreduce(one, options));
  }
  return after(call.env, group, std::move(works), std::move(tensors));
}

/// allGather(group, tensors) → a promise of [processes · n, …] for each [n, …], ranks in order
napi_value all_gather(Call& call) {
  const auto group = joined(string_at(call, 0));
  auto inputs = plain_tensors_at(call, 1);
  c10d::AllgatherOptions options;
  options.timeout = kCollective;
  auto outputs = std::make_shared<std::vector<at::Tensor>>();
  Works works;
  for (auto& input : inputs) {
    TORCH_CHECK(input.dim() > 0, "a tensor without dimensions has no rows to gather");
    auto sizes = input.sizes().vec();
    sizes[0] *= group.backend->getSize();
    outputs->push_back(at::empty(sizes, input.options()));
    works.push_back(group.backend->_allgather_base(outputs->back(), input, options));
  }
  return after(call.env, group, std::move(works), std::move(inputs), [=](napi_env env) -> napi_value {
    auto result = Napi::Array::New(env, outputs->size());
    for (uint32_t i = 0; i < outputs->size(); ++i) result[i] = wrap_tensor(env, (*outputs)[i]);
    return result;
  });
}

/// broadcast(group, tensors, root) → a promise: in place
napi_value broadcast(Call& call) {
  const auto group = joined(string_at(call, 0));
  auto tensors = plain_tensors_at(call, 1);
  c10d::BroadcastOptions options;
  options.rootRank = integer_at(call, 2, 0, group.backend->getSize() - 1);
  options.timeout = kCollective;
  Works works;
  for (const auto& tensor : tensors) {
    std::vector<at::Tensor> one{tensor};
    works.push_back(group.backend->broadcast(one, options));
  }
  return after(call.env, group, std::move(works), std::move(tensors));
}

// --- A sum over the processes within a graph ---

at::Tensor sum_now(const at::Tensor& x, const std::string& name) {
  const auto group = joined(name);
  at::AutoDispatchBelowADInplaceOrView below;
  std::vector<at::Tensor> sum{x.detach().contiguous().clone()};
  c10d::AllreduceOptions options;
  options.timeout = kCollective;
  try {
    wait_for(*group.pulse, *group.backend->allreduce(sum, options));
  } catch (const std::exception& error) {
    TORCH_CHECK(false, "a sum over the processes failed: ", error.what());
  }
  return sum[0];
}

/// y = Σ x over the processes. The sum of all processes' losses has the gradient Σ ∂/∂y over them for every x.
struct SumOver : torch::autograd::Function<SumOver> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const std::string& group) {
    context->saved_data["group"] = group;
    return sum_now(x, group);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {sum_now(gradients[0], context->saved_data["group"].toStringRef()), at::Tensor()};
  }
};

at::Tensor sum_over(const at::Tensor& x, std::string_view group) { return SumOver::apply(x, std::string(group)); }

}  // namespace
}  // namespace bantam::distributed

TORCH_LIBRARY_FRAGMENT(bantam, library) {
  library.def("sum_over_group(Tensor x, str group) -> Tensor", bantam::distributed::sum_over);
}

namespace bantam {

void init_distributed(napi_env env, napi_value exports) {
  using namespace distributed;
  init_stores(env, exports);
  init_connections(env, exports);
  static constexpr Entry entries[] = {
      {"watchGroup", watch_group_of},
      {"lostRanks", lost_ranks},
      {"joinGroup", join_group},
      {"leaveGroup", leave_group},
      {"dropConnections", drop_connections},
      {"allReduce", all_reduce},
      {"allGather", all_gather},
      {"broadcast", broadcast},
      {"hasGloo", [](Call& call) -> napi_value { return Napi::Boolean::New(call.env, has_gloo()); }},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam

#else

namespace bantam {

void init_distributed(napi_env env, napi_value exports) {
  static constexpr Entry entries[] = {
      {"hasGloo", [](Call& call) -> napi_value { return Napi::Boolean::New(call.env, false); }},
  };
  add_entries(env, exports, entries);
}

}  // namespace bantam

#endif
