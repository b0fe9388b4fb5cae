/** NVIDIA's driver and libtorch's CUDA part. */
import { native } from './native.js';

/** A GPU as NVIDIA's driver sees it. */
export interface NvidiaGpu {
  readonly name: string;
  /** Compute capability, e.g. `8.9`. */
  readonly capability: string;
  readonly bytes: number;
}

/** Why CUDA cannot be used, and the remedy. */
export interface CudaProblem {
  readonly what: string;
  readonly remedy: string;
}

/** NVIDIA's driver and libtorch's CUDA part on this machine. */
export interface CudaFacts {
  /** The newest CUDA version that the driver knows, e.g. `13.0`; null: there is no driver. */
  readonly driver: string | null;
  /** GPUs that the driver shows this process. */
  readonly gpus: readonly NvidiaGpu[];
  /** CUDA version of libtorch's libraries; null: they are not installed, do not load, or nobody asked. */
  readonly libraries: string | null;
  /** Null: CUDA can be used. */
  readonly problem: CudaProblem | null;
}

/** Error numbers of the driver's cuInit that users meet. */
const driverErrors: Readonly<Record<number, string>> = {
  100: 'no GPU is visible to it',
  803: 'its library and its kernel module are of different versions; restart the machine',
};

/** `13000` → `13.0` */
function versionText(version: number): string {
  return `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}

/** Looks for NVIDIA's driver, its GPUs and libtorch's CUDA part, and loads that. */
export function cudaFacts(): CudaFacts {
  const driver = native.nvidiaDriver();
  if (driver === null) {
    const what = 'there is no NVIDIA driver';
    const remedy = 'install the driver and run "npx bantam setup"';
    return { driver: null, gpus: [], libraries: null, problem: { what, remedy } };
  }
  const found = { driver: versionText(driver.version), gpus: driver.devices };
  if (process.env.BANTAM_CUDA === '0') {
    const problem = { what: 'BANTAM_CUDA is 0', remedy: 'unset it' };
    return { ...found, libraries: null, problem };
  }
  const loaded = native.loadCuda();
  if (typeof loaded === 'string') {
    return { ...found, libraries: null, problem: libraryProblem(loaded) };
  }
  return {
    ...found,
    libraries: versionText(loaded),
    problem: driverProblem(driver, loaded) ?? deviceProblem(),
  };
}

/**
 * GPUs of NVIDIA's that are here and cannot be used, with the reason and the remedy; null if all can be
 * used, there are none, or `BANTAM_CUDA` is 0.
 */
export function unusableGpus({ driver, gpus, problem } = cudaFacts()): CudaProblem | null {
  if (driver === null || problem === null || process.env.BANTAM_CUDA === '0') return null;
  const names = gpus.map(({ name }) => name).join(', ') || 'NVIDIA GPUs';
  return { ...problem, what: `${names} cannot be used: ${problem.what}` };
}

function libraryProblem(failure: string): CudaProblem {
  // Of the library itself; other names are those of libraries that it needs.
  return failure.startsWith('libtorch_cuda.so: cannot open')
    ? {
        what: "libtorch's CUDA part is not installed",
        remedy: 'get it with "BANTAM_CUDA=1 npx bantam setup"',
      }
    : {
        what: `libtorch's CUDA part does not load (${failure})`,
        remedy: 'remove its folder in the cache and run "BANTAM_CUDA=1 npx bantam setup"',
      };
}

/** A driver serves libraries of its own major version and of older ones. */
function driverProblem(
  { version, error, devices }: { version: number; error: number; devices: readonly NvidiaGpu[] },
  libraries: number,
): CudaProblem | null {
  if (Math.floor(version / 1000) < Math.floor(libraries / 1000)) {
    return {
      what: `the NVIDIA driver knows CUDA ${versionText(version)}, and libtorch needs ${versionText(libraries)}`,
      remedy: 'install a newer driver',
    };
  }
  if (error === 0 && devices.length > 0) return null;
  const reason = driverErrors[error === 0 ? 100 : error] ?? `it answers with error ${error}`;
  return {
    what: `the NVIDIA driver does not start: ${reason}`,
    remedy: 'see what "nvidia-smi" and CUDA_VISIBLE_DEVICES say',
  };
}

function deviceProblem(): CudaProblem | null {
  const what = native.loadDevice('cuda');
  return what === null ? null : { what, remedy: 'see what "nvidia-smi" says' };
}
