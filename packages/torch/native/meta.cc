// The device "meta", whose tensors have shapes and no memory: shape kernels for the operators that
// libtorch has them for in Python only, and an allocator that counts what real tensors would hold.
#include <ATen/ATen.h>
#include <ATen/native/ConvUtils.h>
#include <c10/core/Allocator.h>
#include <torch/library.h>

#include <atomic>

#include "meta.h"

namespace bantam {
namespace {

std::atomic<int64_t> live_bytes{0};

/// Its blocks have no address; their context knows how large they would be.
class MetaAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    live_bytes += static_cast<int64_t>(bytes);
    return {nullptr, new size_t(bytes), &release, c10::Device(c10::DeviceType::Meta)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void*, const void*, std::size_t) const override {}

 private:
  static void release(void* context) {
    auto* bytes = static_cast<size_t*>(context);
    live_bytes -= static_cast<int64_t>(*bytes);
    delete bytes;
  }
};

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation,
                       bool transposed, c10::SymIntArrayRef, c10::SymInt) {
  TORCH_CHECK(!transposed, "transposed convolutions have no shape kernel on the meta device");
  return at::empty_symint(at::native::conv_output_size(input.sym_sizes(), weight.sym_sizes(), padding, stride, dilation),
                          input.options());
}

using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

/// Statistics are kept while training, for the backward pass.
Three batch_norm(const at::Tensor& input, const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                 const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, bool training, double, double) {
  const int64_t channels = training ? input.size(1) : 0;
  const auto options = input.options().dtype(at::kFloat);
  return {at::empty_like(input), at::empty({channels}, options), at::empty({channels}, options)};
}

Three layer_norm(const at::Tensor& input, c10::IntArrayRef shape, const std::optional<at::Tensor>&,
                 const std::optional<at::Tensor>&, double) {
  auto sizes = input.sizes().vec();
  TORCH_CHECK(shape.size() <= sizes.size(), "a layer norm over ", shape.size(), " dimensions was given ", sizes.size());
  for (size_t i = 0; i < shape.size(); ++i) sizes[sizes.size() - 1 - i] = 1;
  return {at::empty_like(input), at::empty(sizes, input.options()), at::empty(sizes, input.options())};
}

at::Tensor index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index) {
  auto sizes = self.sizes().vec();
  sizes[c10::maybe_wrap_dim(dim, self.dim())] = index.numel();
  return at::empty(sizes, self.options());
}

at::Tensor roll(const at::Tensor& self, c10::SymIntArrayRef, c10::IntArrayRef) { return at::empty_like(self); }

at::Tensor& abs_out(const at::Tensor& self, at::Tensor& out) {
  out.resize_(self.sizes());
  return out;
}

at::Tensor relu(const at::Tensor& self) { return at::empty_like(self); }

at::Tensor where(const at::Tensor& condition, const at::Tensor& self, const at::Tensor& other) {
  const auto sizes = at::infer_size(condition.sizes(), at::infer_size(self.sizes(), other.sizes()));
  return at::empty(sizes, self.options().dtype(at::result_type(self, other)));
}

}  // namespace

void install_meta_allocator() {
  static MetaAllocator allocator;
  c10::SetAllocator(c10::DeviceType::Meta, &allocator, /*priority=*/100);
}

int64_t live_meta_bytes() { return live_bytes.load(); }

}  // namespace bantam

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  library.impl("convolution_overrideable", bantam::convolution);
  library.impl("native_batch_norm", bantam::batch_norm);
  library.impl("native_layer_norm", bantam::layer_norm);
  library.impl("index_select", bantam::index_select);
  library.impl("roll", bantam::roll);
  library.impl("abs.out", bantam::abs_out);
  library.impl("relu", bantam::relu);
  library.impl("where.self", bantam::where);
}
