import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listFiles, temporaryFolder, writeFiles } from './testing.js';
import { pruneWheel, readWheel, runtimeRequirements } from './wheel.js';

/** That of torch 2.13.0 for Linux on x86-64, without its requirements of Python's. */
const CUDA_13 = `Metadata-Version: 2.4
Name: torch
Requires-Dist: filelock
Requires-Dist: cuda-toolkit[cublas,cudart,cufft,cufile,cupti,curand,cusolver,cusparse,nvjitlink,nvrtc,nvtx]==13.0.3; platform_system == "Linux"
Requires-Dist: cuda-bindings<14,>=13.0.3; platform_system == "Linux" and python_version < "3.15"
Requires-Dist: nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"
Requires-Dist: nvidia-cusparselt-cu13==0.8.1; platform_system == "Linux"
Requires-Dist: nvidia-nccl-cu13==2.29.7; platform_system == "Linux"
Requires-Dist: nvidia-nvshmem-cu13==3.4.5; platform_system == "Linux"
Requires-Dist: triton==3.7.1; platform_system == "Linux" and python_version < "3.15"
Requires-Dist: optree>=0.13.0; extra == "optree"
`;

const CUDA_12 = `Name: torch
Requires-Dist: nvidia-cuda-runtime-cu12==12.6.77; platform_system == "Linux"
Requires-Dist: nvidia-cuda-cupti-cu12 (==12.6.80) ; platform_system == "Linux"
Requires-Dist: nvidia-cublas-cu12==12.6.4.1; platform_system == "Linux"
`;

describe('runtimeRequirements', () => {
  it('takes from the toolkit what libtorch_cpu links against', () => {
    assert.deepEqual(runtimeRequirements(CUDA_13, false), ['cuda-toolkit[cudart,cupti]==13.0.3']);
  });

  it('takes everything of NVIDIA for the CUDA backend', () => {
    assert.deepEqual(runtimeRequirements(CUDA_13, true), [
      'cuda-toolkit[cublas,cudart,cufft,cufile,cupti,curand,cusolver,cusparse,nvjitlink,nvrtc,nvtx]==13.0.3',
      'nvidia-cudnn-cu13==9.20.0.48',
      'nvidia-cusparselt-cu13==0.8.1',
      'nvidia-nccl-cu13==2.29.7',
      'nvidia-nvshmem-cu13==3.4.5',
    ]);
  });

  it('knows the wheels that name the libraries one by one', () => {
    assert.deepEqual(runtimeRequirements(CUDA_12, false), [
      'nvidia-cuda-runtime-cu12==12.6.77',
      'nvidia-cuda-cupti-cu12==12.6.80',
    ]);
  });

  it('asks for nothing where the wheel asks for nothing of NVIDIA', () => {
    assert.deepEqual(runtimeRequirements('Name: torch\nRequires-Dist: filelock\n', true), []);
  });
});

describe('readWheel', () => {
  it('tells a CUDA build from a CPU build', (t) => {
    for (const [cuda, forCuda] of /** @type {const} */ ([
      ["cuda: Optional[str] = '13.0'", true],
      ['cuda: Optional[str] = None', false],
      ["cuda = '12.6'", true],
    ])) {
      const target = temporaryFolder(t);
      writeFiles(target, {
        'torch-2.13.0.dist-info/METADATA': 'Name: torch\n',
        'torch/version.py': `__version__ = '2.13.0'\n${cuda}\nhip: Optional[str] = None\n`,
      });
      assert.deepEqual(readWheel(target), { metadata: 'Name: torch\n', forCuda });
    }
  });
});

describe('pruneWheel', () => {
  const files = {
    'torch/__init__.py': '',
    'torch/version.py': '',
    'torch/include/ATen/ATen.h': '',
    'torch/bin/protoc': '',
    'torch/lib/libc10.so': '',
    'torch/lib/libc10_cuda.so': '',
    'torch/lib/libcaffe2_nvrtc.so': '',
    'torch/lib/libgomp.so.1': '',
    'torch/lib/libshm/libshm.h': '',
    'torch/lib/libtorch.so': '',
    'torch/lib/libtorch_cpu.so': '',
    'torch/lib/libtorch_cuda.so': '',
    'torch/lib/libtorch_cuda_linalg.so': '',
    'torch/lib/libtorch_nvshmem.so': '',
    'torch/lib/libtorch_python.so': '',
    'torch-2.13.0.dist-info/LICENSE': '',
    'functorch/__init__.py': '',
    'nvidia/cu13/include/cupti.h': '',
    'nvidia/cu13/lib/libcupti.so.13': '',
    'nvidia/cu13/lib/libcudart_static.a': '',
    'nvidia/cudnn/include/cudnn.h': '',
    'nvidia/cudnn/lib/libcudnn.so.9': '',
    'nvidia_cuda_cupti-13.0.85.dist-info/License.txt': '',
  };
  const kept = [
    'nvidia/cu13/lib/libcupti.so.13',
    'nvidia/cudnn/lib/libcudnn.so.9',
    'nvidia_cuda_cupti-13.0.85.dist-info/License.txt',
    'torch-2.13.0.dist-info/LICENSE',
    'torch/include/ATen/ATen.h',
    'torch/lib/libc10.so',
    'torch/lib/libgomp.so.1',
    'torch/lib/libtorch_cpu.so',
    'torch/version.py',
  ];

  it('keeps headers, libraries and licences', (t) => {
    const target = temporaryFolder(t);
    writeFiles(target, files);
    pruneWheel(target, false);
    assert.deepEqual(listFiles(target), kept);
  });

  it('keeps the CUDA backend where it is wanted', (t) => {
    const target = temporaryFolder(t);
    writeFiles(target, files);
    pruneWheel(target, true);
    const names = ['c10_cuda', 'caffe2_nvrtc', 'torch', 'torch_cuda', 'torch_cuda_linalg'];
    const cuda = [...names, 'torch_nvshmem'].map((name) => `torch/lib/lib${name}.so`);
    assert.deepEqual(listFiles(target), [...kept, ...cuda].sort());
  });

  it('leaves a wheel without NVIDIA libraries usable', (t) => {
    const target = temporaryFolder(t);
    writeFiles(target, { 'torch/lib/libc10.dylib': '', 'torch/include/x.h': '' });
    pruneWheel(target, false);
    assert.deepEqual(listFiles(target), ['torch/include/x.h', 'torch/lib/libc10.dylib']);
  });
});
