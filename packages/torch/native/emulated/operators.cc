// Operators of the device: those that make, view and copy tensors, and for all others the CPU's kernel on
// the same memory. As on a GPU, tensors on different devices are refused, and so is the CPU's generator.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "emulated.h"

namespace bantam::emulated {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

// --- The CPU's kernels ---

/// Operators whose result has a size that only the device knows: a GPU's caller waits for it.
bool waits(const std::string& name) {
  static const std::set<std::string> names{"aten::nonzero", "aten::masked_select", "aten::_unique2",
                                           "aten::unique_dim", "aten::unique_consecutive", "aten::equal"};
  return names.count(name) > 0;
}

/// A call on its way to the CPU's kernel: its arguments seen as CPU tensors.
class HostCall {
 public:
  /// Finds the device; refuses another beside it.
  void look_at(const c10::IValue& value) {
    if (value.isTensor()) {
      look_at(value.toTensor());
    } else if (value.isList()) {
      for (const c10::IValue& item : value.toListRef()) look_at(item);
    } else if (value.isDevice() && value.toDevice().type() == kType) {
      asked_ = value.toDevice();
    }
  }

  c10::IValue to_host(const c10::IValue& value, bool written) {
    if (value.isTensor()) return to_host(value.toTensor(), written);
    if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& item : value.toTensorVector()) list.push_back(to_host(item, written));
      return list;
    }
    if (value.isList() && value.toList().elementType()->kind() == c10::TypeKind::OptionalType) {
      c10::List<OptionalTensor> list;
      for (const c10::IValue& item : value.toListRef()) {
        list.push_back(item.isNone() ? OptionalTensor() : OptionalTensor(to_host(item.toTensor(), written)));
      }
      return list;
    }
    if (value.isGenerator()) return host_generator(value.toGenerator());
    if (value.isDevice()) return c10::Device(c10::kCPU);
    return value;
  }

  /// A result as the device's: the argument that it is, or new memory.
  c10::IValue to_device(const c10::IValue& value) {
    if (value.isTensor()) return to_device(value.toTensor());
    if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& item : value.toTensorVector()) list.push_back(to_device(item));
      return list;
    }
    return value;
  }

  /// Outputs that the kernel has given a size.
  void finish() {
    for (const auto& [device, host] : empty_outputs_) {
      if (host.sizes() == device.sizes()) continue;
      const_cast<Tensor&>(device).resize_(host.sizes());
      host_view(device).copy_(host);
    }
  }

 private:
  void look_at(const Tensor& tensor) {
    if (!tensor.defined()) return;
    const auto device = tensor.device();
    // Operators take numbers of the CPU, which have no dimensions.
    if (device.type() != kType && tensor.dim() == 0) return;
    if (!found_) found_ = device;
    TORCH_CHECK(*found_ == device, "Expected all tensors to be on the same device, but found at least two devices, ",
                *found_, " and ", device, "!");
  }

  Tensor to_host(const Tensor& tensor, bool written) {
    if (!tensor.defined() || tensor.device().type() != kType) return tensor;
    if (written && tensor.numel() == 0) {
      auto host = at::empty_like(tensor, tensor.options().device(at::kCPU));
      empty_outputs_.emplace_back(tensor, host);
      pairs_.emplace_back(tensor, host);
      return host;
    }
    auto host = host_view(tensor);
    pairs_.emplace_back(tensor, host);
    return host;
  }

  Tensor to_device(const Tensor& tensor) {
    if (!tensor.defined() || tensor.device().type() == kType) return tensor;
    for (const auto& [device, host] : pairs_) {
      if (host.is_same(tensor)) return device;
      TORCH_CHECK(!tensor.numel() || !host.is_alias_of(tensor), "the emulated device has no views of this operator");
    }
    return emulated::to_device(tensor, found_ && found_->type() == kType ? *found_ : asked_);
  }

  std::optional<c10::Device> found_;
  c10::Device asked_{kType, 0};
  std::vector<std::pair<Tensor, Tensor>> pairs_, empty_outputs_;
};

void on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  ++counters().operators;
  if (waits(schema.name())) ++counters().synchronizations;
  HostCall call;
  const auto first = stack->size() - schema.arguments().size();
  for (size_t i = first; i < stack->size(); ++i) call.look_at((*stack)[i]);
  for (size_t i = first; i < stack->size(); ++i) {
    const auto* alias = schema.arguments()[i - first].alias_info();
    (*stack)[i] = call.to_host((*stack)[i], alias != nullptr && alias->isWrite());
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  call.finish();
  for (size_t i = first; i < stack->size(); ++i) (*stack)[i] = call.to_device((*stack)[i]);
}

// --- Making and resizing ---

c10::Device device_of(std::optional<at::Device> device) {
  const auto* guard = c10::impl::getDeviceGuardImpl(kType);
  return device && device->has_index() ? *device : guard->getDevice();
}

Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device> device, std::optional<bool> pin, std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  const c10::DeviceGuard guard(device_of(device));
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), c10::GetAllocator(kType),
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype),
                                   format);
}

Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device_of(device));
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
                                           c10::GetAllocator(kType),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

const Tensor& resize(const Tensor& self, c10::SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  auto storage = self.storage();
  auto* tensor = self.unsafeGetTensorImpl();
  tensor->set_sizes_contiguous(sizes);
  const size_t needed = (tensor->storage_offset() + tensor->numel()) * self.element_size();
  if (storage.nbytes() < needed) {
    const c10::DeviceGuard guard(self.device());
    auto* allocator = c10::GetAllocator(kType);
    auto data = allocator->allocate(needed);
    if (storage.nbytes() > 0) allocator->copy_data(data.get(), storage.data(), storage.nbytes());
    storage.set_data_ptr_noswap(std::move(data));
    storage.set_nbytes(needed);
  }
  return self;
}

// --- Copies ---

/// Copies to pinned memory that nobody has waited for: who reads too early sees what was there before.
struct LateCopy {
  Tensor to, from;
};
std::mutex late_mutex;
std::vector<LateCopy> late_copies;

Tensor copy_from(const Tensor& self, const Tensor& to, bool non_blocking) {
  const bool in = self.is_cpu(), out = to.is_cpu();
  if (in) ++counters().copies_in;
  if (out) ++counters().copies_out;
  const bool waits = (in && !(non_blocking && self.is_pinned())) || (out && !(non_blocking && to.is_pinned()));
  if (waits) {
    ++counters().synchronizations;
    finish_copies();
  }
  const auto from = in ? self : host_view(self);
  if (out && !waits) {
    std::lock_guard lock(late_mutex);
    late_copies.push_back({to, from.clone()});
  } else {
    (out ? to : host_view(to)).copy_(from);
  }
  return to;
}

Tensor copy_from_and_resize(const Tensor& self, const Tensor& to) {
  if (to.sizes() != self.sizes()) to.resize_(self.sizes());
  return copy_from(self, to, false);
}

at::Scalar item(const Tensor& tensor) {
  ++counters().synchronizations;
  finish_copies();
  return host_view(tensor).item();
}

void record_stream(Tensor&, c10::Stream) {}

// --- Convolutions, which libtorch asks of every device of this kind ---

Tensor convolution(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, c10::IntArrayRef stride,
                   c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed,
                   c10::IntArrayRef output_padding, int64_t groups) {
  ++counters().operators;
  const auto host_bias = bias && bias->defined() ? OptionalTensor(host_view(*bias)) : std::nullopt;
  return to_device(at::convolution(host_view(x), host_view(weight), host_bias, stride, padding, dilation, transposed,
                                   output_padding, groups),
                   x.device());
}

std::tuple<Tensor, Tensor, Tensor> convolution_backward(const Tensor& gradient, const Tensor& x, const Tensor& weight,
                                                        c10::IntArrayRef stride, c10::IntArrayRef padding,
                                                        c10::IntArrayRef dilation, bool transposed,
                                                        c10::IntArrayRef output_padding, int64_t groups,
                                                        std::array<bool, 3> wanted) {
  ++counters().operators;
  const std::vector<int64_t> outputs{transposed ? weight.size(1) * groups : weight.size(0)};
  const auto [dx, dweight, dbias] = at::convolution_backward(
      host_view(gradient), host_view(x), host_view(weight),
      wanted[2] ? at::OptionalIntArrayRef(outputs) : std::nullopt, stride, padding, dilation, transposed,
      output_padding, groups, wanted);
  const auto as = [&](const Tensor& found) { return found.defined() ? to_device(found, x.device()) : found; };
  return {as(dx), as(dweight), as(dbias)};
}

}  // namespace

void finish_copies() {
  std::vector<LateCopy> copies;
  {
    std::lock_guard lock(late_mutex);
    copies.swap(late_copies);
  }
  for (const auto& [to, from] : copies) to.copy_(from);
}

void install_operators(torch::Library& aten) {
  static auto* all = new torch::Library(torch::Library::IMPL, "_", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
  all->fallback(torch::CppFunction::makeFromBoxedFunction<&on_host>());
  aten.impl("empty.memory_format", &empty);
  aten.impl("empty_strided", &empty_strided);
  aten.impl("resize_", &resize);
  aten.impl("_copy_from", &copy_from);
  aten.impl("_copy_from_and_resize", &copy_from_and_resize);
  aten.impl("_local_scalar_dense", &item);
  aten.impl("record_stream", &record_stream);
  aten.impl("as_strided", &at::native::as_strided_tensorimpl);
  aten.impl("view", &at::native::view);
  aten.impl("_reshape_alias", &at::native::_reshape_alias);
  aten.impl("unfold", &at::native::unfold);
  aten.impl("convolution_overrideable", &convolution);
  aten.impl("convolution_backward_overrideable", &convolution_backward);
}

}  // namespace bantam::emulated
