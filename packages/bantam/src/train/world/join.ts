/** Joining of the processes that a launcher has started. */
import { torchVersion } from '@bantam/torch';
import { joinGroup, worldFromEnvironment } from '@bantam/torch/distributed';
import { World } from './world.js';

/**
 * The processes that train together with this one, by the environment variables of `bantam train
 * --processes`, `torchrun` or `srun`; null if it was started alone.
 *
 * @throws TorchError if they do not come together.
 */
export async function joinWorld(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<World | null> {
  const found = worldFromEnvironment(env);
  if (found === null) return null;
  const { rank, size, localSize, rendezvous, restarts } = found;
  const facts = { libtorch: torchVersion(), 'Node.js': process.version };
  return new World(await joinGroup({ rank, size, rendezvous, restarts, facts }), { localSize });
}
