import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Parts of NVIDIA's toolkit that libtorch_cpu itself links against in a CUDA build. */
const CPU_EXTRAS = ['cudart', 'cupti'];
const CPU_WHEELS = /^nvidia-cuda-(runtime|cupti)(-cu\d+)?$/;

/** Libraries for Python only. */
const PYTHON_LIBRARIES = /^lib(torch_python|shm)/;
/** Libraries of the CUDA backend, and what links against it. */
const CUDA_LIBRARIES =
  /^lib(torch|torch_cuda.*|c10_cuda|caffe2_nvrtc|torch_nvshmem|torch_global_deps)\.so/;

/**
 * The pip requirements that a CUDA build of libtorch needs to be loaded, read from the wheel's own
 * metadata, where their versions are pinned.
 *
 * @param {string} metadata METADATA of the wheel
 * @param {boolean} cuda whether the CUDA backend will be used; libtorch_cpu alone needs but two
 * @returns {string[]} e.g. `cuda-toolkit[cudart,cupti]==13.0.3`
 */
export function runtimeRequirements(metadata, cuda) {
  const lines = metadata.split(/\r?\n/).filter((line) => line.startsWith('Requires-Dist: '));
  return lines.flatMap((line) => {
    const [requirement = '', marker = ''] = line.slice('Requires-Dist: '.length).split(';');
    const parts = /^([\w.-]+)\s*(?:\[([^\]]*)\])?\s*(.*)$/.exec(requirement.trim());
    if (!parts || marker.includes('extra ==')) return [];
    const [, name = '', extras = '', version = ''] = parts;
    if (name === 'cuda-toolkit') {
      const wanted = extras.split(',').filter((extra) => cuda || CPU_EXTRAS.includes(extra.trim()));
      return wanted.length > 0 ? [`${name}[${wanted.join(',')}]${version}`] : [];
    }
    const wheel = cuda ? name.startsWith('nvidia-') : CPU_WHEELS.test(name);
    return wheel ? [`${name}${version.replace(/[()]/g, '')}`] : [];
  });
}

/**
 * What is in an installed wheel: its metadata, and the CUDA version it was built for.
 *
 * @param {string} target pip's target folder
 */
export function readWheel(target) {
  const info = readdirSync(target).find((name) => /^torch-.*\.dist-info$/.test(name)) ?? '';
  const version = join(target, 'torch', 'version.py');
  return {
    metadata: readFileSync(join(target, info, 'METADATA'), 'utf8'),
    forCuda: /^cuda\b.*= '/m.test(existsSync(version) ? readFileSync(version, 'utf8') : ''),
  };
}

/**
 * Removes what neither the compiler nor the running addon needs. Licences stay.
 *
 * @param {string} target pip's target folder
 * @param {boolean} cuda whether to keep the CUDA backend
 */
export function pruneWheel(target, cuda) {
  const kept = (/** @type {string} */ name) =>
    ['torch', 'nvidia'].includes(name) || /^(torch|nvidia_.*)-.*\.dist-info$/.test(name);
  removeExcept(target, kept);
  removeExcept(join(target, 'torch'), (name) => ['include', 'lib', 'version.py'].includes(name));
  removeExcept(
    join(target, 'torch', 'lib'),
    (name) => !PYTHON_LIBRARIES.test(name) && (cuda || !CUDA_LIBRARIES.test(name)),
  );
  const nvidia = join(target, 'nvidia');
  for (const name of listIfThere(nvidia)) {
    removeExcept(join(nvidia, name), (part) => part === 'lib' || /licen[cs]e/i.test(part));
    removeExcept(join(nvidia, name, 'lib'), (file) => !file.endsWith('.a'));
  }
}

/**
 * @param {string} folder
 * @param {(name: string) => boolean} kept
 */
function removeExcept(folder, kept) {
  for (const name of listIfThere(folder)) {
    if (!kept(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** @param {string} folder */
function listIfThere(folder) {
  return existsSync(folder) ? readdirSync(folder) : [];
}
