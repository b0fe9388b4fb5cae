import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { worldFromEnvironment } from './environment.js';

describe('worldFromEnvironment', () => {
  const torchrun = {
    RANK: '5',
    WORLD_SIZE: '8',
    LOCAL_RANK: '1',
    LOCAL_WORLD_SIZE: '4',
    MASTER_ADDR: 'first',
    MASTER_PORT: '29400',
    TORCHELASTIC_RESTART_COUNT: '2',
    TORCHELASTIC_USE_AGENT_STORE: 'True',
  };

  it('reads the variables of torchrun', () => {
    assert.deepEqual(worldFromEnvironment(torchrun), {
      rank: 5,
      size: 8,
      localRank: 1,
      localSize: 4,
      rendezvous: { host: 'first', port: 29400, isHosted: true },
      restarts: 2,
    });
  });

  it('reads the variables of a step of srun', () => {
    const srun = {
      SLURM_PROCID: '3',
      SLURM_STEP_NUM_TASKS: '6',
      SLURM_LOCALID: '0',
      SLURM_STEP_TASKS_PER_NODE: '3(x2)',
      SLURM_STEP_NODELIST: 'node[03-04]',
      SLURM_JOB_ID: '123456',
    };
    assert.deepEqual(worldFromEnvironment(srun), {
      rank: 3,
      size: 6,
      localRank: 0,
      localSize: 3,
      rendezvous: { host: 'node03', port: 23456, isHosted: false },
      restarts: 0,
    });
    const named = worldFromEnvironment({ ...srun, MASTER_ADDR: 'other', MASTER_PORT: '1234' });
    assert.deepEqual(named?.rendezvous, { host: 'other', port: 1234, isHosted: false });
  });

  it('finds no group in a batch script, or where there is one process', () => {
    assert.equal(worldFromEnvironment({ SLURM_PROCID: '0', SLURM_NTASKS: '4' }), null);
    assert.equal(worldFromEnvironment({ RANK: '0', WORLD_SIZE: '1' }), null);
    assert.equal(worldFromEnvironment({}), null);
  });

  it('refuses variables that are incomplete or contradict each other', () => {
    const refuses = (env: object, message: RegExp): void => {
      assert.throws(() => worldFromEnvironment({ ...torchrun, ...env }), message);
    };
    refuses({ RANK: undefined }, /^TorchError: The environment variable RANK is missing/);
    refuses({ WORLD_SIZE: undefined }, /WORLD_SIZE is missing/);
    refuses({ RANK: '8' }, /RANK is 8, but WORLD_SIZE is 8; ranks are 0 to 7/);
    refuses({ RANK: 'one' }, /RANK is "one"; it must be a whole number from 0 up/);
    refuses({ MASTER_ADDR: undefined }, /MASTER_ADDR is missing/);
    refuses({ MASTER_PORT: '0' }, /MASTER_PORT is "0"; it must be a whole number from 1 up/);
    refuses({ MASTER_PORT: '99999' }, /MASTER_PORT is 99999; ports are 1 to 65535/);
  });
});
