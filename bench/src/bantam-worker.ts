/** Bantam's worker: answers the requests of `protocol.ts`, one JSON line each. */
import {
  cudaFacts,
  deviceMemory,
  emptyCache,
  instructionLevel,
  isAccelerator,
  parseDevice,
  resetDevicePeak,
  resolveDevice,
  threads,
  torchVersion,
  type Device,
} from '@bantam/torch';
import { presets } from 'bantam';
import { measureMatrixRate } from 'bantam/experimental';
import { dtypeOf, openModelWorkload, type OpenWorkload } from './bantam-workloads.js';
import { peakMemory, resetPeakMemory } from './peak-memory.js';
import { prepare } from './prepare.js';
import type { Request } from './protocol.js';
import { answerRequests } from './worker-loop.js';

let workload: OpenWorkload | undefined;
let device: Device = 'cpu';

function opened(): OpenWorkload {
  if (workload === undefined) throw new RangeError('No workload is open.');
  return workload;
}

/** The device with its index, and the name that NVIDIA's driver has for it. */
function describeDevice(name: string): { name: string; model: string | null } {
  const found = resolveDevice(name);
  const [type, index] = found.split(':');
  const gpu = type === 'cuda' ? cudaFacts().gpus[Number(index)] : undefined;
  return { name: found, model: gpu?.name ?? null };
}

async function answer(request: Request): Promise<object> {
  switch (request.op) {
    case 'prepare':
      return prepare(request);
    case 'pairs':
      return (await import('./bantam-accuracy.js')).preparePairs(request);
    case 'learn':
      return (await import('./bantam-accuracy.js')).learn(request);
    case 'recalls':
      return (await import('./bantam-accuracy.js')).recalls(request);
    case 'open':
      workload =
        request.workload.kind === 'load'
          ? await (await import('./bantam-loader.js')).openLoader(request.workload)
          : await openModelWorkload(request.workload);
      device = request.workload.kind === 'load' ? 'cpu' : parseDevice(request.workload.device);
      emptyCache();
      if (isAccelerator(device)) resetDevicePeak(device);
      else resetPeakMemory();
      return {};
    case 'check':
      return opened().check();
    case 'run':
      return opened().run(request.steps);
    case 'memory':
      return { peakBytes: isAccelerator(device) ? deviceMemory(device).peak : peakMemory() };
    case 'facts':
      return {
        torch: torchVersion(),
        device: describeDevice(request.device ?? 'cpu'),
        threads: threads(),
        level: instructionLevel(),
        presets: [...presets.keys()],
      };
    case 'rate': {
      const { precision, seconds } = request;
      return measureMatrixRate(dtypeOf(precision), {
        device: parseDevice(request.device),
        seconds,
      });
    }
  }
}

await answerRequests(answer);
